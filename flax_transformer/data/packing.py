"""Several sentence pairs in a row: an alternative to batches of similar lengths."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int32

from flax_transformer.data.tokenized import TokenizedPairs, TokenizedText
from flax_transformer.data.tokenizer import PAD


class PackedRows(NamedTuple):
    """Rows of several pairs each; the pair of segment 1 comes first on both sides, 0 is padding.

    Attributes:
        source: ids of the sources.
        target: ids of the targets.
        source_segments: which pair of its row each source token belongs to.
        target_segments: the same of the targets; equal numbers translate each other.
    """

    source: Int32[np.ndarray, "rows source_length"]
    target: Int32[np.ndarray, "rows target_length"]
    source_segments: Int32[np.ndarray, "rows source_length"]
    target_segments: Int32[np.ndarray, "rows target_length"]

    def padding_share(self) -> float:
        """Padding among all tokens of both sides."""
        cells = self.source_segments.size + self.target_segments.size
        tokens = np.count_nonzero(self.source_segments) + np.count_nonzero(self.target_segments)
        return 1 - tokens / cells


def assign_rows(
    source_lengths: Int[np.ndarray, " pairs"],
    target_lengths: Int[np.ndarray, " pairs"],
    row_length: int,
    window: int = 512,
) -> Int[np.ndarray, " pairs"]:
    """Gives for every pair the row it stands in, by first fit decreasing within a window.

    Of each window of pairs the longest come first; each goes into the first row of the window in
    which both of its sides have room.

    Args:
        source_lengths: tokens of every source.
        target_lengths: tokens of every target.
        row_length: tokens of a row at most, on either side.
        window: pairs that may share rows: the more, the less padding.

    Returns:
        The number of each pair's row, counted from 0.

    Raises:
        ValueError: if a sentence is longer than a row.

    Example:
        >>> assign_rows(np.array([5, 4, 3]), np.array([4, 6, 2]), row_length=8).tolist()
        [1, 0, 0]

    Reference:
        Johnson 1973, "Near-optimal bin packing algorithms", here with two capacities.
    """
    lengths = np.stack([source_lengths, target_lengths], axis=1)
    if lengths.size and lengths.max() > row_length:
        raise ValueError(f"a sentence of {lengths.max()} tokens exceeds row_length {row_length}")
    rows, num_rows = np.zeros(len(lengths), np.int64), 0
    for start in range(0, len(lengths), window):
        part = lengths[start : start + window]
        room = np.full((len(part), 2), row_length)
        for index in np.argsort(-part.max(axis=1), kind="stable"):
            row = np.argmax((room >= part[index]).all(axis=1))
            room[row] -= part[index]
            rows[start + index] = num_rows + row
        num_rows = rows[: start + window].max() + 1
    return rows


def pack(pairs: TokenizedPairs, rows: Int[np.ndarray, " pairs"], row_length: int) -> PackedRows:
    """Writes pairs into the rows that `assign_rows` gave them, in their order.

    Args:
        pairs: tokenised sentences.
        rows: number of each pair's row.
        row_length: tokens of a row on either side.

    Returns:
        All rows, padded on the right.
    """
    order = np.argsort(rows, kind="stable")
    first = np.searchsorted(rows[order], rows[order])
    segments = np.arange(order.size) - first + 1  # of each pair, within its row
    source, source_segments = _write(pairs.source.select(order), rows[order], segments, row_length)
    target, target_segments = _write(pairs.target.select(order), rows[order], segments, row_length)
    return PackedRows(source, target, source_segments, target_segments)


def _write(
    text: TokenizedText, rows: np.ndarray, segments: np.ndarray, row_length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Lays sentences, ordered by their rows, into these; gives ids and segments."""
    shape = (rows[-1] + 1 if rows.size else 0, row_length)
    ids, numbers = np.full(shape, PAD, np.int32), np.zeros(shape, np.int32)
    row = np.repeat(rows, text.lengths)
    # A row's tokens lie side by side in text: a token's column is its distance from the first.
    column = np.arange(row.size) - np.searchsorted(row, row)
    ids[row, column] = text.tokens
    numbers[row, column] = np.repeat(segments, text.lengths)
    return ids, numbers
