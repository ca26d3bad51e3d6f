"""Few batch shapes for sentences of many lengths: chooses the shapes and assigns the sentences."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from flax_transformer.data.batches.batches import (
    Group,
    in_rows,
    padded_length,
)
from flax_transformer.errors import UserError

# Candidate lengths of a side: the plan's time and memory grow with the fourth power of their
# number.
MAX_LEVELS = 48
# A batch may have this many rows even if the pairs do not fill them. Without this limit, a mistaken
# batch size of a billion would fill the memory with empty rows.
FREE_ROWS = 4096


class Bucket(NamedTuple):
    """A batch shape: the largest sentence lengths, and the number of rows."""

    source_length: int
    target_length: int
    rows: int


def plan_buckets(
    source_lengths: Int[np.ndarray, " pairs"],
    target_lengths: Int[np.ndarray, " pairs"],
    tokens_per_batch: int | None,
    num_buckets: int,
    batch_size: int | None = None,
) -> tuple[Bucket, ...]:
    """Chooses the shapes with the least padding; each holds all sentences of the shapes before it.

    This is an exact dynamic program over chains of boxes (source_length, target_length). With N(b)
    the number of pairs that fit into box b, it minimizes the sum of (S_b + T_b) (N(b) - N(b - 1)).

    Args:
        source_lengths: tokens of every source.
        target_lengths: tokens of every target.
        tokens_per_batch: maximum target tokens of a batch, padding included; None with batch_size.
        num_buckets: maximum number of shapes.
        batch_size: rows of every bucket, instead of a number of tokens. Above FREE_ROWS, there are
            never more rows than pairs.

    Returns:
        The buckets, from the shortest to the longest.

    Raises:
        UserError: if the longest target exceeds tokens_per_batch.

    Example:
        >>> plan_buckets(np.array([3, 3, 9]), np.array([2, 4, 8]), 64, num_buckets=2)
        (Bucket(source_length=3, target_length=4, rows=16), Bucket(source_length=9, \
target_length=8, rows=8))
    """
    longest = int(target_lengths.max())
    rows = rows_by_length(tokens_per_batch, batch_size, longest, target_lengths.size)
    return tuple(
        Bucket(source, target, rows(target))
        for source, target in _chain(source_lengths, target_lengths, num_buckets)
    )


def rows_by_length(
    tokens_per_batch: int | None,
    batch_size: int | None,
    longest: int,
    needed: int,
) -> Callable[[int], int]:
    """Returns the function from a bucket's target length to its number of rows.

    The arguments are those of `plan_buckets`, the longest target, and the number of rows that holds
    all pairs.

    Raises:
        UserError: as `plan_buckets` does.
    """
    most = max(needed, FREE_ROWS)
    if batch_size is not None:
        return lambda target: min(batch_size, most)
    assert tokens_per_batch is not None, "one of the two says how large a batch is"
    if longest > tokens_per_batch:
        raise UserError(
            f"--data.tokens-per-batch {tokens_per_batch} cannot hold a row of {longest} target "
            f"tokens: give at least {longest}, or a smaller --data.max-length"
        )
    return lambda target: min(tokens_per_batch // target, most)


def evaluation_buckets(
    lengths: Int[np.ndarray, " pairs"], tokens_per_batch: int, max_length: int
) -> tuple[Bucket, ...]:
    """Chooses shapes that hardly depend on the sentences: lengths and rows are powers of two.

    Most files therefore share their shapes, which stay compiled. A few sentences get a batch of a
    few rows.

    Args:
        lengths: tokens of the longer side of every pair, at least one.
        tokens_per_batch: maximum tokens of one side of a batch, padding included. A batch always
            has at least one row, even if it exceeds it.
        max_length: maximum tokens of a sentence, and of a side of a batch.

    Raises:
        ValueError: if a sentence is longer than max_length.
    """
    longest = int(lengths.max())
    if longest > max_length:
        raise ValueError(f"a sentence of {longest} tokens exceeds max_length {max_length}")
    sides = [padded_length(1, max_length)]
    while sides[-1] < longest:
        sides.append(padded_length(sides[-1] + 1, max_length))
    buckets = []
    for side in sides:
        # The largest power of two within the budget, and the smallest that holds all sentences.
        affordable = 1 << max(tokens_per_batch // side, 1).bit_length() - 1
        rows = min(affordable, 1 << (lengths.size - 1).bit_length())
        buckets.append(Bucket(side, side, rows))
    return tuple(buckets)


def assign(
    buckets: Sequence[Bucket],
    source_lengths: Int[np.ndarray, " pairs"],
    target_lengths: Int[np.ndarray, " pairs"],
) -> Int[np.ndarray, " pairs"]:
    """Returns, for every pair, the number of the first bucket that it fits into."""
    fits = [
        (source_lengths <= bucket.source_length) & (target_lengths <= bucket.target_length)
        for bucket in buckets
    ]
    return np.argmax(fits, axis=0)


def deal(buckets: Sequence[Bucket], members: Sequence[Int[np.ndarray, " _"]]) -> list[Group]:
    """Fills batches with the members of every bucket, in order; the form is the bucket.

    Members that do not fill a batch move to the next bucket, so only the very last batch may have
    empty rows. The number of batches of a bucket depends only on the numbers of members.
    """
    groups = []
    waiting = np.zeros(0, np.int64)
    for bucket, own in zip(buckets, members, strict=True):
        waiting = np.concatenate([waiting, own])
        full, waiting = np.split(waiting, [waiting.size // bucket.rows * bucket.rows])
        groups += [Group(rows, bucket) for rows in in_rows(full, bucket.rows)]
    if waiting.size:
        groups.append(Group(in_rows(waiting, buckets[-1].rows)[0], buckets[-1]))
    return groups


def _chain(
    source_lengths: np.ndarray, target_lengths: np.ndarray, num_boxes: int
) -> list[tuple[int, int]]:
    sources, targets = _levels(source_lengths), _levels(target_lengths)
    counts = np.zeros((sources.size, targets.size))
    cells = np.searchsorted(sources, source_lengths), np.searchsorted(targets, target_lengths)
    np.add.at(counts, cells, 1)
    fitting = counts.cumsum(0).cumsum(1).ravel()
    row, column = (index.ravel() for index in np.indices(counts.shape))
    width = (sources[row] + targets[column]).astype(float)
    inside = (row <= row[:, None]) & (column <= column[:, None])
    # cost[b] is the least padded size of all pairs in box b, over chains that end in b.
    cost, formers = width * fitting, []
    for _ in range(num_boxes - 1):
        through = np.where(inside, cost - width[:, None] * fitting, np.inf)
        formers.append(through.argmin(axis=1))
        cost = through.min(axis=1) + width * fitting
    chain = [fitting.size - 1]
    for former in reversed(formers):
        chain.append(int(former[chain[-1]]))
    return sorted({(int(sources[row[box]]), int(targets[column[box]])) for box in chain})


def _levels(lengths: np.ndarray) -> np.ndarray:
    """Returns all lengths; of too many, mostly frequent ones and some long ones."""
    distinct = np.unique(lengths)
    if distinct.size <= MAX_LEVELS:
        return distinct
    ranks = np.linspace(0, 1, MAX_LEVELS // 2)
    dense = np.quantile(lengths, ranks, method="higher")
    even = np.quantile(distinct, ranks, method="higher")
    return np.union1d(dense, even)
