"""What the input pipeline gives the training and evaluation."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int32


class Batch(NamedTuple):
    """Sentences of ids, padded on the right; both sides end in EOS and neither starts with BOS.

    Attributes:
        source: ids of the sources.
        target: ids of the targets.
        source_segments: where a row holds several pairs, which of them each source token belongs
            to, counted from 1, and 0 for padding; None where a row holds one pair.
        target_segments: the same of the targets; equal numbers of a row translate each other.
    """

    source: Int32[np.ndarray, "rows source_length"]
    target: Int32[np.ndarray, "rows target_length"]
    source_segments: Int32[np.ndarray, "rows source_length"]
    target_segments: Int32[np.ndarray, "rows target_length"]

    def count(self) -> int:
        """Number of target tokens, padding not counted."""
        return int(np.count_nonzero(self.target))

    def describe(self) -> str:
        """Says how large it is, in a few words."""
        rows, source_length = self.source.shape
        tokens = self.count() + np.count_nonzero(self.source)
        return (
            f"{rows:,} rows, {source_length:,} source and {self.target.shape[1]:,} target tokens "
            f"long, {tokens:,} tokens without padding"
        )

from flax_transformer.data.batches.examples import NO_CLASS as NO_CLASS
from flax_transformer.data.batches.examples import LabelledBatch as LabelledBatch
from flax_transformer.data.batches.windows import TextBatch as TextBatch
