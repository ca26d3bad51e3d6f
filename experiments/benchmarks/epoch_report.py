"""What an epoch of sentence pairs holds."""

from typing import NamedTuple

from flax_transformer.data.batches.batches import Batches


class EpochReport(NamedTuple):
    """Counts of an epoch.

    Attributes:
        num_shapes: different shapes of batches.
        batches_per_epoch: batches.
        padding_share: share of padding on both sides.
    """

    num_shapes: int
    batches_per_epoch: int
    padding_share: float


def report(batches: Batches) -> EpochReport:
    """Counts the first epoch."""
    shapes, cells, tokens = set(), 0, 0
    for _, batch in batches.epoch():
        shapes.add((batch.source.shape, batch.target.shape))
        cells += batch.source.size + batch.target.size
        tokens += int((batch.source_segments > 0).sum() + (batch.target_segments > 0).sum())
    return EpochReport(len(shapes), batches.batches_per_epoch, 1 - tokens / cells)
