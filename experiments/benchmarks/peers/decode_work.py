"""What every contender of the decoding benchmark does: sentences, sizes and the forced length."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32

from flax_transformer.data.tokenized import TokenizedText
from flax_transformer.models.config import ComputeType

# XLA compiles every length anew: sources are padded to few of them.
LENGTH_MULTIPLE = 8
# As the end mark of a search: nothing ends before its forced length.
NO_TOKEN = -1

Search = Callable[[], Sequence[Sequence[Sequence[int]] | np.ndarray]]
"""Decodes everything once; gives the best output of each sentence, batch by batch."""


class DecodeWork(NamedTuple):
    """A translation model's sizes and what it translates.

    Attributes:
        sources: sentences of ids below vocab_size - 1, the shortest first, EOS at their ends.
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

    sources: TokenizedText
    batch: int
    beam_size: int
    output_length: int
    num_layers: int
    d_model: int
    d_ff: int
    num_heads: int
    vocab_size: int
    dtype: ComputeType

    def batches(self) -> list[Int32[np.ndarray, "rows length"]]:
        """Neighbours in length together, padded on the right with 0 to one of a few lengths."""
        rows = np.arange(self.sources.lengths.size)
        parts = [rows[start : start + self.batch] for start in rows[:: self.batch]]
        return [self.sources.pad(part, self._padded_length(part)) for part in parts]

    def _padded_length(self, part: np.ndarray) -> int:
        longest = int(self.sources.lengths[part].max())
        return -(-longest // LENGTH_MULTIPLE) * LENGTH_MULTIPLE

    def num_tokens(self) -> int:
        """Target tokens of all outputs."""
        return self.sources.lengths.size * self.output_length
