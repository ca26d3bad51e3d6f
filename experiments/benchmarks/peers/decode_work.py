"""The work of every contender of the decoding benchmark: sentences, sizes and forced length."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .turn import Run

PAD = 0
# XLA compiles a program per length, so sources are padded to a few lengths.
LENGTH_MULTIPLE = 8
# End mark of a search in which nothing ends before its forced length.
NO_TOKEN = -1

Search = Callable[[], Sequence[Sequence[Sequence[int]] | np.ndarray]]
"""Decodes everything once, and returns the best output of each sentence, batch by batch."""


class DecodeWork(NamedTuple):
    """Sizes of a translation model and the sentences to translate, as plain data.

    Attributes:
        sentences: ids above 0 and below vocab_size - 1, each ending with `eos`, the shortest first.
        eos: id of the end mark.
        batch: sentences decoded together.
        beam_size: hypotheses kept for each sentence.
        output_length: tokens of every output; no hypothesis may end before.
        num_layers: layers of the encoder, and of the decoder.
        d_model: width of the model.
        d_ff: width of the feed-forward networks' hidden layers.
        num_heads: attention heads in each layer.
        vocab_size: number of tokens, including special ones.
        dtype: type of the computation.
    """

    sentences: list[list[int]]
    eos: int
    batch: int
    beam_size: int
    output_length: int
    num_layers: int
    d_model: int
    d_ff: int
    num_heads: int
    vocab_size: int
    dtype: Any

    def parts(self) -> list[list[list[int]]]:
        """The batches of sentences of similar lengths."""
        starts = range(0, len(self.sentences), self.batch)
        return [self.sentences[start : start + self.batch] for start in starts]

    def batches(self) -> list[np.ndarray]:
        """The batches as arrays, padded on the right with 0 to one of a few lengths."""
        batches = []
        for part in self.parts():
            longest = max(map(len, part))
            length = -(-longest // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
            rows = [sentence + [PAD] * (length - len(sentence)) for sentence in part]
            batches.append(np.array(rows, np.int32))
        return batches

    def num_tokens(self) -> int:
        """Target tokens of all outputs."""
        return len(self.sentences) * self.output_length


def as_run(search: Search) -> Run:
    """Makes a run of a search that reports the number of tokens of every output."""
    return lambda: {"lengths": [len(output) for batch in search() for output in batch]}
