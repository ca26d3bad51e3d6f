"""Counts of an epoch of sentence pairs."""

from typing import NamedTuple

from flax_transformer.data.batches.batches import Batches


class EpochReport(NamedTuple):
    """Counts of an epoch.

    Attributes:
        num_pairs: number of sentence pairs.
        num_shapes: number of different batch shapes.
        batches_per_epoch: number of batches.
        target_tokens_per_batch: mean, without padding.
        padding_share: share of padding on both sides.
    """

    num_pairs: int
    num_shapes: int
    batches_per_epoch: int
    target_tokens_per_batch: float
    padding_share: float


def report(batches: Batches) -> EpochReport:
    """Counts the first epoch."""
    shapes, cells, pairs, sources, targets = set(), 0, 0, 0, 0
    for _, batch in batches.epoch():
        shapes.add((batch.source.shape, batch.target.shape))
        cells += batch.source.size + batch.target.size
        pairs += int(batch.target_segments.max(axis=1).sum())
        sources += int((batch.source_segments > 0).sum())
        targets += int((batch.target_segments > 0).sum())
    number = batches.batches_per_epoch
    padding_share = 1 - (sources + targets) / cells
    return EpochReport(pairs, len(shapes), number, targets / number, padding_share)
