"""Pieces of one stream of tokens, as training and evaluation read them."""

import copy
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int32

from flax_transformer.data.batches.shuffled_rows import ShuffledRows
from flax_transformer.data.tokens.tokenizer import PAD
from flax_transformer.errors import UserError


class TextBatch(NamedTuple):
    """Pieces of text, padded on the right.

    Attributes:
        tokens: each row holds one token more than a model reads at a time: all but the last are
            read, all but the first are to be predicted.
    """

    tokens: Int32[np.ndarray, "rows length_and_one"]
    segments: Int32[np.ndarray, "rows length_and_one"]

    def count(self) -> int:
        """Number of tokens to predict, padding not counted."""
        return int(np.count_nonzero(self.tokens[:, 1:]))

    def describe(self) -> str:
        """Says how large it is, in a few words."""
        rows, length = self.tokens.shape
        return f"{rows:,} rows of {length - 1:,} tokens"


class WindowBatches:
    """The batch of every training step: `batches[step]` for step 0, 1, 2, ... without end.

    An epoch cuts the stream into pieces from another random start on and shuffles them, by (seed,
    epoch). So nearly every token is predicted once an epoch, each time after other tokens of its
    piece. The batch of a step depends on nothing else, so training continues from any step.

    Args:
        stream: tokens of all documents, end to end.
        length: tokens that a model reads at a time.
        batch_size: rows of every batch.
        rows_multiple: what the rows of a batch divide by, such as the number of devices.
        seed: of starts and of shuffling.

    Raises:
        UserError: if the stream does not fill a batch, or batch_size is no multiple of
            rows_multiple.

    Example:
        >>> stream = np.arange(3, 60, dtype=np.int32)
        >>> batches = WindowBatches(stream, length=5, batch_size=4, rows_multiple=2)
        >>> batches[7].tokens.shape, batches.batches_per_epoch
        ((4, 6), 2)
    """

    def __init__(
        self,
        stream: Int32[np.ndarray, " total"],
        length: int,
        batch_size: int,
        rows_multiple: int = 1,
        seed: int = 0,
    ):
        self._stream, self._length = stream, length
        # From the latest start, and each piece needs the token after it.
        num_batches = (len(stream) - length) // length // batch_size
        if not num_batches:
            raise UserError(
                f"the text has {len(stream):,} tokens, which do not fill a batch of {batch_size} "
                f"pieces of {length} tokens: give more text, or lower --data.batch-size or "
                "--data.max-length"
            )
        self._rows = ShuffledRows(self._starts, num_batches, batch_size, rows_multiple, seed)
        self.batches_per_epoch = num_batches

    def __getitem__(self, step: int) -> TextBatch:
        starts = self._rows[step]
        return _tb(self._stream[starts[:, None] + np.arange(self._length + 1)])

    def shard(self, process_index: int, process_count: int) -> "WindowBatches":
        """Gives the batches of one process; see `ShuffledRows`."""
        part = copy.copy(self)
        part._rows = self._rows.shard(process_index, process_count)
        return part

    def describe(self, devices: str) -> list[str]:
        """Says what an epoch holds."""
        return [
            f"{len(self._stream):,} tokens; {self.batches_per_epoch:,} updates an epoch",
            f"{self._rows.batch_size * self._length:,} tokens an update over {devices}: "
            f"{self._rows.batch_size} pieces of {self._length}",
        ]

    def _starts(self, rng: np.random.Generator) -> Int[np.ndarray, "batches rows"]:
        first = rng.integers(self._length)
        starts = np.arange(first, len(self._stream) - self._length, self._length)
        num_starts = self.batches_per_epoch * self._rows.batch_size
        return rng.permutation(starts)[:num_starts].reshape(self.batches_per_epoch, -1)


def evaluation_windows(
    stream: Int32[np.ndarray, " total"], length: int, batch_size: int
) -> Iterator[TextBatch]:
    """Cuts a stream into batches in which every token but the first is predicted once.

    Args:
        stream: tokens of all documents, end to end.
        length: tokens that a model reads at a time.
        batch_size: rows of every batch; what is left over is padding.

    Example:
        >>> [batch] = evaluation_windows(np.arange(3, 9, dtype=np.int32), length=3, batch_size=2)
        >>> batch.tokens.tolist()
        [[3, 4, 5, 6], [6, 7, 8, 0]]
    """
    starts = np.arange(0, len(stream) - 1, length)
    starts = np.pad(
        starts, (0, -len(starts) % batch_size), constant_values=len(stream)
    )  # rows of padding
    padded = np.pad(stream, (0, length + 1), constant_values=PAD)
    for first in range(0, len(starts), batch_size):
        rows = starts[first : first + batch_size, None]
        yield _tb(padded[rows + np.arange(length + 1)].astype(np.int32))


def _tb(tokens):
    return TextBatch(tokens, (tokens != 0).astype(np.int32))
