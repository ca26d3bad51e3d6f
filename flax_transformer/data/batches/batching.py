"""Batches of similar lengths or of packed rows for training, of similar lengths for evaluation."""

import copy
import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from flax_transformer.data.batches.batch import Batch
from flax_transformer.data.batches.buckets import (
    Bucket,
    Group,
    assign,
    deal,
    plan_buckets,
    rows_by_length,
)
from flax_transformer.data.batches.packing import PackedRows, pack, plan_rows, redraw
from flax_transformer.data.tokens.tokenized import TokenizedPairs

MIN_LENGTH = 16  # of an evaluation batch; shorter ones save nothing worth compiling for


class DataReport(NamedTuple):
    """What a user should know of the batches before waiting for the training."""

    num_pairs: int
    left_out: int
    num_shapes: int
    batches_per_epoch: int
    target_tokens_per_batch: float
    padding_share: float

    def lines(self, devices: str) -> list[str]:
        """Says it, `devices` being those that share an update."""
        left_out = f", {self.left_out:,} left out" if self.left_out else ""
        return [
            f"{self.num_pairs:,} sentence pairs{left_out}; batch shapes: {self.num_shapes}, "
            f"each compiled once; updates an epoch: {self.batches_per_epoch:,}",
            f"{self.target_tokens_per_batch:,.0f} target tokens an update over {devices}, "
            f"padding {self.padding_share:.1%}",
        ]


class TrainingBatches:
    """The batch of every training step: `batches[step]` for step 0, 1, 2, ... without end.

    Every epoch holds every pair once, in batches shuffled by (seed, epoch). The batch of a step
    depends on nothing else, so training continues from any step.

    Args:
        pairs: tokenised sentences, none longer than a batch.
        tokens_per_batch: target tokens at most, padding counted; None with batch_size.
        num_buckets: different shapes at most.
        rows_multiple: what the rows of a batch divide by, such as the number of devices.
        seed: of the shuffling.
        batch_size: rows of every batch, in place of a number of tokens.
        row_length: tokens of either side of a row into which several pairs are packed, so that
            there is one shape; None for one pair a row, in batches of similar lengths.

    Raises:
        UserError: if tokens_per_batch cannot hold rows_multiple rows of the longest target, or
            batch_size is no multiple of rows_multiple.
        ValueError: if a sentence is longer than row_length.
    """

    def __init__(
        self,
        pairs: TokenizedPairs,
        tokens_per_batch: int | None,
        num_buckets: int,
        rows_multiple: int = 1,
        seed: int = 0,
        batch_size: int | None = None,
        row_length: int | None = None,
    ):
        self._pairs = pairs
        self._seed = seed
        self._part = 0, 1
        self._packed = None
        lengths = pairs.source.lengths, pairs.target.lengths
        if row_length is None:
            self.buckets = plan_buckets(
                *lengths, tokens_per_batch, num_buckets, rows_multiple, batch_size
            )
            number = assign(self.buckets, *lengths)
            self._members = [np.flatnonzero(number == i) for i in range(len(self.buckets))]
        else:
            self._packed = plan_rows(pairs, row_length, seed)
            rows = rows_by_length(
                tokens_per_batch, batch_size, row_length, rows_multiple, self._packed.num_rows
            )
            self.buckets = (Bucket(row_length, row_length, rows(row_length)),)
            self._members = [np.arange(self._packed.num_rows)]
        self.batches_per_epoch = len(deal(self.buckets, self._members))
        # Two, because prefetching threads reach into the next epoch before the last one ends.
        self._epoch = functools.lru_cache(maxsize=2)(self._shuffled)

    def __getitem__(self, step: int) -> Batch:
        epoch, index = divmod(step, self.batches_per_epoch)
        groups, packed = self._epoch(epoch)
        bucket, indices = groups[index]
        process, processes = self._part
        indices = np.split(indices, processes)[process]
        if packed is None:
            return _batch(self._pairs, bucket, indices)
        return pack(self._pairs, packed, indices, bucket.target_length)

    def shard(self, process_index: int, process_count: int) -> "TrainingBatches":
        """Gives the batches of one process: its rows of every batch.

        Raises:
            ValueError: if the rows of a batch do not divide by process_count.
        """
        if any(bucket.rows % process_count for bucket in self.buckets):
            rows = [bucket.rows for bucket in self.buckets]
            raise ValueError(f"batches of {rows} rows do not divide by {process_count} processes")
        part = copy.copy(self)
        part._part = process_index, process_count
        return part

    def describe(self, devices: str) -> list[str]:
        """Says what an epoch holds."""
        return self.report().lines(devices)

    def report(self) -> DataReport:
        """Counts what an epoch holds; every epoch holds the same."""
        groups = deal(self.buckets, self._members)
        tokens = self._pairs.source.tokens.size + self._pairs.target.tokens.size
        cells = sum(
            bucket.rows * (bucket.source_length + bucket.target_length) for bucket, _ in groups
        )
        return DataReport(
            num_pairs=self._pairs.num_pairs,
            left_out=self._pairs.left_out,
            num_shapes=len({bucket for bucket, _ in groups}),
            batches_per_epoch=len(groups),
            target_tokens_per_batch=self._pairs.target.tokens.size / len(groups),
            padding_share=1 - tokens / cells,
        )

    def _shuffled(self, epoch: int) -> tuple[list[Group], PackedRows | None]:
        rng = np.random.default_rng((self._seed, epoch))
        groups = deal(self.buckets, [rng.permutation(own) for own in self._members])
        shuffled = [groups[index] for index in rng.permutation(len(groups))]
        return shuffled, self._packed and redraw(self._packed, self._pairs, rng)


def evaluation_batches(
    pairs: TokenizedPairs, tokens_per_batch: int, max_length: int, rows_multiple: int = 1
) -> Iterator[tuple[Int[np.ndarray, " rows"], Batch]]:
    """Gives every pair once, the shortest first, in shapes that hardly depend on the sentences.

    Lengths and rows are powers of two, so the shapes of one file are those of the next and stay
    compiled; a handful of sentences gets a batch of a handful of rows.

    Args:
        pairs: sentences and references, or `TokenizedPairs.without_targets(sources)`.
        tokens_per_batch: tokens at most of one side of a batch, padding counted; rows_multiple
            rows are given even if they hold more.
        max_length: tokens at most of a sentence, and of a side of a batch.
        rows_multiple: what the rows of a batch divide by, such as the number of devices.

    Yields:
        Which pair stands in each row, -1 for an empty row, and the batch.

    Raises:
        ValueError: if a sentence is longer than max_length.
    """
    if not pairs.num_pairs:
        return
    longer = np.maximum(pairs.source.lengths, pairs.target.lengths)
    longest = int(longer.max())
    if longest > max_length:
        raise ValueError(f"a sentence of {longest} tokens exceeds max_length {max_length}")
    num_lengths = 1 + (-(-longest // MIN_LENGTH) - 1).bit_length()
    buckets = []
    for length in (MIN_LENGTH << doubling for doubling in range(num_lengths)):
        length = min(length, max_length)
        # The powers of two next below the budget and next above what there is.
        affordable = 1 << max(tokens_per_batch // length, 1).bit_length() - 1
        rows = min(affordable, 1 << (pairs.num_pairs - 1).bit_length())
        rows = max(rows // rows_multiple, 1) * rows_multiple
        buckets.append(Bucket(length, length, rows))
    order = np.argsort(longer, kind="stable")
    number = assign(buckets, longer, longer)[order]
    members = [order[number == bucket] for bucket in range(len(buckets))]
    for bucket, indices in deal(buckets, members):
        yield indices, _batch(pairs, bucket, indices)


def _batch(pairs: TokenizedPairs, bucket: Bucket, indices: Int[np.ndarray, " rows"]) -> Batch:
    source = pairs.source.pad(indices, bucket.source_length)
    target = pairs.target.pad(indices, bucket.target_length)
    return Batch(source, target, (source != 0).astype(np.int32), (target != 0).astype(np.int32))
