"""Several sentence pairs in one row: an alternative to batches of similar lengths."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int64

from flax_transformer.data.batches.batch import Batch
from flax_transformer.data.batches.batches import Batches, Group, in_rows
from flax_transformer.data.batches.buckets import Bucket, rows_by_length
from flax_transformer.data.batches.length_batches import describe_pairs
from flax_transformer.data.tokens.tokenized import TokenizedPairs, TokenizedText, ranges


class PackedBatches(Batches):
    """Batches of one shape, with several pairs in a row; the pairs in a row change in every epoch.

    Args:
        pairs: tokenized sentences.
        row_length: maximum tokens of a row, on either side.
        tokens_per_batch: maximum target tokens of a batch, padding included.
        seed: seed of the packing and of the shuffling.

    Raises:
        UserError: if tokens_per_batch cannot hold a row.
        ValueError: if a sentence is longer than a row.
    """

    def __init__(
        self,
        pairs: TokenizedPairs,
        row_length: int,
        *,
        tokens_per_batch: int,
        seed: int = 0,
    ):
        self._pairs, self._packed = pairs, plan_rows(pairs, row_length, seed)
        needed = self._packed.num_rows
        rows = rows_by_length(tokens_per_batch, None, row_length, needed)
        self.bucket = Bucket(row_length, row_length, rows(row_length))
        super().__init__(-(-needed // self.bucket.rows), seed)

    def plan(self, rng: np.random.Generator | None) -> list[Group]:
        """Chooses the rows of every batch; the form lists the pairs of each row."""
        assert rng is not None, "packed rows are only for training"
        members = rng.permutation(self._packed.num_rows)
        batches = rng.permutation(in_rows(members, self.bucket.rows))
        packed = redraw(self._packed, self._pairs, rng)
        return [Group(rows, packed) for rows in batches]

    def make(self, indices: Int[np.ndarray, " rows"], form: "_PackedRows") -> Batch:
        """Packs the pairs of each row."""
        return pack(self._pairs, form, indices, self.bucket.target_length)

    def describe(self, devices: str) -> list[str]:
        """Describes an epoch; all epochs have the same description."""
        return describe_pairs(self._pairs, [self.bucket] * self.batches_per_epoch, devices)


class _PackedRows(NamedTuple):
    """Pairs that share a row: row i has the pairs `places[offsets[i]:offsets[i + 1]]`, in order."""

    places: Int64[np.ndarray, " pairs"]
    offsets: Int64[np.ndarray, " rows_and_one"]

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return self.offsets.size - 1


def assign_rows(
    source_lengths: Int[np.ndarray, " pairs"],
    target_lengths: Int[np.ndarray, " pairs"],
    row_length: int,
    window: int = 512,
) -> Int[np.ndarray, " pairs"]:
    """Returns the row of every pair, by first fit decreasing within a window.

    The longest pairs of a window are placed first. Each goes into the first row of the window in
    which both of its sides have room.

    Args:
        source_lengths: tokens of every source.
        target_lengths: tokens of every target.
        row_length: maximum tokens of a row, on either side.
        window: number of pairs that may share rows; more pairs leave less padding.

    Returns:
        The row number of each pair, counted from 0.

    Raises:
        ValueError: if a sentence is longer than a row.

    Example:
        >>> assign_rows(np.array([5, 4, 3]), np.array([4, 6, 2]), row_length=8).tolist()
        [1, 0, 0]

    Reference:
        Johnson 1973, "Near-optimal bin packing algorithms", here with two capacities.
    """
    lengths = np.stack([source_lengths, target_lengths])
    if lengths.size and lengths.max() > row_length:
        raise ValueError(f"a sentence of {lengths.max()} tokens exceeds row_length {row_length}")
    num_pairs = lengths.shape[1]
    # Empty pairs complete the last window without changing any row.
    lengths = np.pad(lengths, ((0, 0), (0, -num_pairs % window)))
    rows = _first_fit(lengths.reshape(2, -1, window), row_length)
    num_rows = rows.max(axis=1) + 1
    return (rows + (np.cumsum(num_rows) - num_rows)[:, None]).ravel()[:num_pairs]


def _first_fit(
    lengths: Int[np.ndarray, "sides windows window"], row_length: int
) -> Int[np.ndarray, "windows window"]:
    """Returns the row of every pair within its window; windows are processed in parallel."""
    windows = np.arange(lengths.shape[1])
    rows = np.zeros(lengths.shape[1:], np.int64)
    empty: np.ndarray = np.full((*lengths.shape[:2], 1), row_length)
    room = empty.copy()  # free tokens of the used rows, followed by at least one empty row
    for pair in np.argsort(-lengths.max(axis=0), axis=1, kind="stable").T:
        taken = lengths[:, windows, pair]
        row = np.argmax((room >= taken[..., None]).all(axis=0), axis=1)
        if row.max(initial=0) == room.shape[2] - 1:
            room = np.concatenate([room, empty], axis=2)
        room[:, windows, row] -= taken
        rows[windows, pair] = row
    return rows


def plan_rows(pairs: TokenizedPairs, row_length: int, seed: int) -> _PackedRows:
    """Chooses the rows of all pairs, as `assign_rows` does, from windows of random pairs.

    Args:
        pairs: tokenized sentences.
        row_length: maximum tokens of a row, on either side.
        seed: seed of the windows; neighbors in a file may have similar lengths.

    Returns:
        The rows, each with at least one pair.

    Raises:
        ValueError: if a sentence is longer than a row.
    """
    order = np.random.default_rng(seed).permutation(pairs.num_pairs)
    rows = assign_rows(pairs.source.lengths[order], pairs.target.lengths[order], row_length)
    offsets = np.cumsum(np.concatenate([[0], np.bincount(rows)]))
    return _PackedRows(order[np.argsort(rows, kind="stable")], offsets)


def redraw(rows: _PackedRows, pairs: TokenizedPairs, rng: np.random.Generator) -> _PackedRows:
    """Changes which pairs share a row: pairs with equal lengths on both sides swap places.

    The lengths and the number of rows are therefore the same in every epoch.
    """
    width = pairs.target.lengths.max(initial=0) + 1
    kinds = pairs.source.lengths * width + pairs.target.lengths
    shuffled = rng.permutation(kinds.size)
    places = np.empty_like(rows.places)
    by_kind = shuffled[np.argsort(kinds[shuffled], kind="stable")]
    places[np.argsort(kinds[rows.places], kind="stable")] = by_kind
    return rows._replace(places=places)


def pack(
    pairs: TokenizedPairs, rows: _PackedRows, indices: Int[np.ndarray, " rows"], row_length: int
) -> Batch:
    """Builds a batch of rows.

    Args:
        pairs: tokenized sentences.
        rows: the pairs of each row.
        indices: the rows of the batch, -1 for an empty one.
        row_length: tokens of a row on either side.

    Returns:
        The batch with its segments: on both sides the row's first pair has segment 1.
    """
    starts = rows.offsets[indices]
    counts = np.where(indices < 0, 0, rows.offsets[indices + 1] - starts)
    chosen = rows.places[ranges(starts, counts)]
    segments = ranges(np.ones_like(counts), counts)
    row = np.repeat(np.arange(indices.size), counts)
    shape = indices.size, row_length
    source, source_segments = _write(pairs.source.select(chosen), row, segments, shape)
    target, target_segments = _write(pairs.target.select(chosen), row, segments, shape)
    return Batch(source, target, source_segments, target_segments)


def _write(
    text: TokenizedText, rows: np.ndarray, segments: np.ndarray, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Writes sentences, ordered by row, into these rows; returns ids and segments."""
    ids, numbers = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    tokens_of_rows = np.bincount(np.repeat(rows, text.lengths), minlength=shape[0])
    # The tokens of a row are adjacent in `text`, as they will be in the row.
    is_token = np.arange(shape[1]) < tokens_of_rows[:, None]
    ids[is_token] = text.tokens
    numbers[is_token] = np.repeat(segments, text.lengths)
    return ids, numbers
