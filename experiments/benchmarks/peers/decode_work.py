"""What every contender of the decoding benchmark does: sentences, sizes and the forced length."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .turn import Run

PAD = 0
# XLA compiles every length anew: sources are padded to few of them.
LENGTH_MULTIPLE = 8
# As the end mark of a search: nothing ends before its forced length.
NO_TOKEN = -1

Search = Callable[[], Sequence[Sequence[Sequence[int]] | np.ndarray]]
"""Decodes everything once; gives the best output of each sentence, batch by batch."""


class DecodeWork(NamedTuple):
    """A translation model's sizes and what it translates: plain data for every contender.

    Attributes:
        sentences: ids above 0 and below vocab_size - 1, the shortest first, `eos` at their ends.
        eos: id of the end mark.
        batch: sentences decoded together.
        beam_size: hypotheses kept for each sentence.
        output_length: tokens of every output: no hypothesis may end before.
        num_layers: layers of the encoder, and as many of the decoder.
        d_model: width of the model.
        d_ff: width of the feed-forward networks' hidden layers.
        num_heads: attention heads in each layer.
        vocab_size: tokens, special ones counted.
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
        """Neighbors in length together."""
        starts = range(0, len(self.sentences), self.batch)
        return [self.sentences[start : start + self.batch] for start in starts]

    def batches(self) -> list[np.ndarray]:
        """The parts as arrays, padded on the right with 0 to one of a few lengths."""
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
    """Makes a run of a search, which reports the number of tokens of every output."""
    return lambda: {"lengths": [len(output) for batch in search() for output in batch]}
