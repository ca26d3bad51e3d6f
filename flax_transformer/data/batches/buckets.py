"""Few batch shapes for sentences of many lengths: which to have, and which sentence goes where."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from flax_transformer.errors import UserError

# Lengths of a side that may bound a bucket: the plan's time and memory grow with its fourth power.
MAX_LEVELS = 48
# A batch may have so many rows even where the pairs do not fill them; with a mistaken number of a
# billion, the memory would be full of empty ones.
FREE_ROWS = 4096


class Bucket(NamedTuple):
    """A batch shape: sentences up to these lengths, this many rows of them."""

    source_length: int
    target_length: int
    rows: int


class Group(NamedTuple):
    """Indices of the sentences of one batch, -1 for an empty row, and its bucket."""

    bucket: Bucket
    indices: Int[np.ndarray, " rows"]


def plan_buckets(
    source_lengths: Int[np.ndarray, " pairs"],
    target_lengths: Int[np.ndarray, " pairs"],
    tokens_per_batch: int | None,
    num_buckets: int,
    rows_multiple: int = 1,
    batch_size: int | None = None,
) -> tuple[Bucket, ...]:
    """Chooses the shapes that pad least, each holding every sentence that a former one holds.

    An exact dynamic programme over chains of boxes (source_length, target_length): with N(b) the
    pairs that fit into box b, it minimises the sum of (S_b + T_b) (N(b) - N(b - 1)).

    Args:
        source_lengths: tokens of every source.
        target_lengths: tokens of every target.
        tokens_per_batch: target tokens of a batch at most, padding counted; None with batch_size.
        num_buckets: shapes at most.
        rows_multiple: what the rows divide by, such as the number of devices.
        batch_size: rows of every bucket, in place of a number of tokens. Either way, above
            FREE_ROWS there are no more rows than pairs.

    Returns:
        The buckets, from the shortest to the longest.

    Raises:
        UserError: if rows_multiple rows of the longest target exceed tokens_per_batch, or
            batch_size is no multiple of rows_multiple.

    Example:
        >>> plan_buckets(np.array([3, 3, 9]), np.array([2, 4, 8]), 64, num_buckets=2)
        (Bucket(source_length=3, target_length=4, rows=16), Bucket(source_length=9, \
target_length=8, rows=8))
    """
    longest = int(target_lengths.max())
    rows = rows_by_length(tokens_per_batch, batch_size, longest, rows_multiple, target_lengths.size)
    return tuple(
        Bucket(source, target, rows(target))
        for source, target in _chain(source_lengths, target_lengths, num_buckets)
    )


def rows_by_length(
    tokens_per_batch: int | None,
    batch_size: int | None,
    longest: int,
    multiple: int,
    needed: int,
) -> Callable[[int], int]:
    """Gives the function from the length of a bucket's targets to its number of rows.

    The arguments are those of `plan_buckets`, the longest that a target may be, and the number of
    rows that hold everything.

    Raises:
        UserError: as `plan_buckets` does.
    """
    most = -(-max(needed, FREE_ROWS) // multiple) * multiple
    if batch_size is not None:
        if batch_size % multiple:
            lower = batch_size // multiple * multiple
            nearest = f"{lower} or {lower + multiple}" if lower else f"{multiple}"
            raise UserError(
                f"batch_size of {batch_size} over all devices is no multiple of {multiple}, their "
                f"number times training.accumulate_steps: make it {nearest}."
            )
        return lambda target: min(batch_size, most)
    assert tokens_per_batch is not None, "one of the two says how large a batch is"
    if multiple * longest > tokens_per_batch:
        raise UserError(
            f"tokens_per_batch {tokens_per_batch} cannot hold {multiple} rows of {longest} "
            f"target tokens: give at least {multiple * longest}, or a smaller max_length."
        )
    return lambda target: min(tokens_per_batch // (target * multiple) * multiple, most)


def assign(
    buckets: Sequence[Bucket],
    source_lengths: Int[np.ndarray, " pairs"],
    target_lengths: Int[np.ndarray, " pairs"],
) -> Int[np.ndarray, " pairs"]:
    """Gives for every pair the number of the first bucket that it fits into."""
    fits = [
        (source_lengths <= bucket.source_length) & (target_lengths <= bucket.target_length)
        for bucket in buckets
    ]
    return np.argmax(fits, axis=0)


def deal(buckets: Sequence[Bucket], members: Sequence[Int[np.ndarray, " _"]]) -> list[Group]:
    """Fills batches with the members of every bucket, in their order.

    What does not fill a batch goes up into the next bucket, so only the last batch of all may have
    empty rows, and how many batches a bucket gives depends on the numbers of members alone.
    """
    groups = []
    waiting = np.zeros(0, np.int64)
    for bucket, own in zip(buckets, members, strict=True):
        waiting = np.concatenate([waiting, own])
        num_full = waiting.size // bucket.rows
        full, waiting = np.split(waiting, [num_full * bucket.rows])
        groups += [Group(bucket, rows) for rows in full.reshape(num_full, bucket.rows)]
    if waiting.size:
        last = buckets[-1]
        empty = np.full(last.rows - waiting.size, -1)
        groups.append(Group(last, np.concatenate([waiting, empty])))
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
    # cost[b] is the least padded size of all pairs in box b, by chains that end in b.
    cost, formers = width * fitting, []
    for _ in range(num_boxes - 1):
        through = np.where(inside, cost - width[:, None] * fitting, np.inf)
        formers.append(through.argmin(axis=1))
        cost = through.min(axis=1) + width * fitting
    chain = [fitting.size - 1]
    for former in reversed(formers):
        chain.append(int(former[chain[-1]]))
    boxes = {(int(sources[row[box]]), int(targets[column[box]])) for box in chain}
    return sorted(boxes)


def _levels(lengths: np.ndarray) -> np.ndarray:
    """Gives all lengths, or of too many those where most sentences are and some in the tail."""
    distinct = np.unique(lengths)
    if distinct.size <= MAX_LEVELS:
        return distinct
    ranks = np.linspace(0, 1, MAX_LEVELS // 2)
    dense = np.quantile(lengths, ranks, method="higher")
    even = np.quantile(distinct, ranks, method="higher")
    return np.union1d(dense, even)
