"""The input of a training or evaluation step: arrays of several examples."""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32, Shaped

NO_CLASS = -1  # the label of a row that only fills a batch


@runtime_checkable
class AnyBatch(Protocol):
    """Arrays of several examples: a NamedTuple with the arrays as fields."""

    def count(self) -> int:
        """Number of units in which the task measures its speed, without padding."""
        ...

    def describe(self) -> str:
        """Describes the size in a few words."""
        ...


class Batch(NamedTuple):
    """Sentence pairs, padded on the right; both sides end with an end mark and have no begin mark.

    Attributes:
        source: token ids of the sources.
        target: token ids of the targets.
        source_segments: number of the pair within the row for each source token, counted from 1; 0
            for padding.
        target_segments: the same for the targets; equal numbers in a row belong to one pair.
    """

    source: Int32[np.ndarray, "rows source_length"]
    target: Int32[np.ndarray, "rows target_length"]
    source_segments: Int32[np.ndarray, "rows source_length"]
    target_segments: Int32[np.ndarray, "rows target_length"]

    def count(self) -> int:
        """Number of target tokens, without padding."""
        return int(np.count_nonzero(self.target_segments))

    def describe(self) -> str:
        """Describes the size in a few words."""
        rows, source_length = self.source.shape
        tokens = self.count() + np.count_nonzero(self.source_segments)
        return (
            f"{rows:,} rows, {source_length:,} source and {self.target.shape[1]:,} target tokens "
            f"long, {tokens:,} tokens without padding"
        )


class TextBatch(NamedTuple):
    """Pieces of text, padded on the right.

    Attributes:
        tokens: each row is one token longer than the model's input: the model reads all but the
            last token and predicts all but the first.
        segments: 1 for tokens, 0 for padding.
    """

    tokens: Int32[np.ndarray, "rows length_and_one"]
    segments: Int32[np.ndarray, "rows length_and_one"]

    def count(self) -> int:
        """Number of tokens to predict, without padding."""
        return int(np.count_nonzero(self.segments[:, 1:]))

    def describe(self) -> str:
        """Describes the size in a few words."""
        rows, length = self.tokens.shape
        return f"{rows:,} rows of {length - 1:,} tokens"


class LabeledBatch(NamedTuple):
    """Inputs and their classes.

    Attributes:
        inputs: [rows, ...]: token ids, or pixels.
        labels: class number of each row, NO_CLASS for a row that only fills the batch.
        segments: for text, 1 for tokens and 0 for padding; None for images and videos.
    """

    inputs: Shaped[np.ndarray, "rows ..."]
    labels: Int32[np.ndarray, " rows"]
    segments: Int32[np.ndarray, "rows length"] | None = None

    def count(self) -> int:
        """Number of examples."""
        return int(np.count_nonzero(self.labels != NO_CLASS))

    def describe(self) -> str:
        """Describes the size in a few words."""
        rows, *shape = self.inputs.shape
        return f"{rows:,} rows of {' x '.join(map(str, shape))}"
