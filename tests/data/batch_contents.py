"""What stands in batches, whether a row holds one pair or several."""

from typing import Any

from flax_transformer.data.batches.batch import Batch
from flax_transformer.data.batches.batches import Batches
from flax_transformer.data.batches.length_batches import LengthBatches
from flax_transformer.data.batches.packed_batches import PackedBatches
from flax_transformer.data.tokens.tokenized import TokenizedPairs

Pair = tuple[tuple[int, ...], tuple[int, ...]]


def training_batches(
    pairs: TokenizedPairs,
    tokens_per_batch: int | None,
    num_buckets: int,
    seed: int = 0,
    batch_size: int | None = None,
    row_length: int | None = None,
) -> Batches:
    """Makes batches by length, or packed ones if the rows have a length."""
    shared: Any = {"seed": seed}
    if row_length is not None:
        assert tokens_per_batch is not None
        return PackedBatches(pairs, row_length, tokens_per_batch=tokens_per_batch, **shared)
    shared |= {"tokens_per_batch": tokens_per_batch, "batch_size": batch_size}
    return LengthBatches.for_training(pairs, num_buckets, **shared)


def pairs_of(*batches: Batch) -> list[Pair]:
    """The pairs in batches, padding taken off and empty rows left out, in a fixed order."""
    return sorted(pair for batch in batches for pair in _pairs(batch))


def _pairs(batch: Batch) -> list[Pair]:
    rows: Any = batch
    return [
        (
            tuple(source[source_segments == number].tolist()),
            tuple(target[target_segments == number].tolist()),
        )
        for source, target, source_segments, target_segments in zip(*rows, strict=True)
        for number in range(1, source_segments.max() + 1)
    ]
