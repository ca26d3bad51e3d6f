"""What a step of training or of an evaluation is given: arrays of some examples."""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32, Shaped

NO_CLASS = -1  # of a row that only fills a batch


@runtime_checkable
class AnyBatch(Protocol):
    """Arrays of some examples: a NamedTuple, whose fields are the arrays."""

    def count(self) -> int:
        """Number of what the task counts its speed in, padding not counted."""
        ...

    def describe(self) -> str:
        """Says how large it is, in a few words."""
        ...


class Batch(NamedTuple):
    """Sentence pairs, padded on the right; both sides end in an end mark and have no begin mark.

    Attributes:
        source: ids of the sources.
        target: ids of the targets.
        source_segments: which pair of its row each source token belongs to, counted from 1, and 0
            for padding.
        target_segments: the same of the targets; equal numbers of a row translate each other.
    """

    source: Int32[np.ndarray, "rows source_length"]
    target: Int32[np.ndarray, "rows target_length"]
    source_segments: Int32[np.ndarray, "rows source_length"]
    target_segments: Int32[np.ndarray, "rows target_length"]

    def count(self) -> int:
        """Number of target tokens, padding not counted."""
        return int(np.count_nonzero(self.target_segments))

    def describe(self) -> str:
        """Says how large it is, in a few words."""
        rows, source_length = self.source.shape
        tokens = self.count() + np.count_nonzero(self.source_segments)
        return (
            f"{rows:,} rows, {source_length:,} source and {self.target.shape[1]:,} target tokens "
            f"long, {tokens:,} tokens without padding"
        )


class TextBatch(NamedTuple):
    """Pieces of text, padded on the right.

    Attributes:
        tokens: each row holds one token more than a model reads at a time: all but the last are
            read, all but the first are to be predicted.
        segments: 1 at tokens, 0 at padding.
    """

    tokens: Int32[np.ndarray, "rows length_and_one"]
    segments: Int32[np.ndarray, "rows length_and_one"]

    def count(self) -> int:
        """Number of tokens to predict, padding not counted."""
        return int(np.count_nonzero(self.segments[:, 1:]))

    def describe(self) -> str:
        """Says how large it is, in a few words."""
        rows, length = self.tokens.shape
        return f"{rows:,} rows of {length - 1:,} tokens"


class LabeledBatch(NamedTuple):
    """Some inputs and their classes.

    Attributes:
        inputs: [rows, ...]: token ids, or pixels.
        labels: number of each one's class, NO_CLASS of a row that only fills the batch.
        segments: of texts, 1 at tokens and 0 at padding; None of images and videos.
    """

    inputs: Shaped[np.ndarray, "rows ..."]
    labels: Int32[np.ndarray, " rows"]
    segments: Int32[np.ndarray, "rows length"] | None = None

    def count(self) -> int:
        """Number of examples."""
        return int(np.count_nonzero(self.labels != NO_CLASS))

    def describe(self) -> str:
        """Says how large it is, in a few words."""
        rows, *shape = self.inputs.shape
        return f"{rows:,} rows of {' x '.join(map(str, shape))}"
