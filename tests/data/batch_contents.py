"""What stands in batches, whether a row holds one pair or several."""

from typing import Any

import numpy as np

from flax_transformer.data.batches.batch import Batch
from flax_transformer.data.tokens.tokenizer import PAD

Pair = tuple[tuple[int, ...], tuple[int, ...]]


def pairs_of(*batches: Batch) -> list[Pair]:
    """The pairs in batches, padding taken off and empty rows left out, in a fixed order."""
    return sorted(pair for batch in batches for pair in _pairs(batch))


def _pairs(batch: Batch) -> list[Pair]:
    if batch.source_segments is None:
        batch = Batch(*batch[:2], *((side != PAD).astype(np.int32) for side in batch[:2]))
    rows: Any = batch
    return [
        (
            tuple(source[source_segments == number].tolist()),
            tuple(target[target_segments == number].tolist()),
        )
        for source, target, source_segments, target_segments in zip(*rows, strict=True)
        for number in range(1, source_segments.max() + 1)
    ]
