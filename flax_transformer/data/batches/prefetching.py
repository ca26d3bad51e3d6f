"""Builds the batches of later steps while a step runs."""

import sys
from typing import TYPE_CHECKING, Any

from flax_transformer.data.batches.batches import Batches

if TYPE_CHECKING:
    import grain

NUM_THREADS = 2  # threads that build batches
NUM_READY = 8  # batches kept ready


def training_pipeline(batches: Batches, start_step: int = 0) -> "grain.DatasetIterator[Any]":
    """Iterates over the batches from start_step on, which threads build ahead.

    The iterator's `get_state` returns a small JSON dictionary. Its `set_state` continues with
    exactly the batch that would have come next. `next` raises the exceptions of the threads.

    Args:
        batches: the batches of this process.
        start_step: first training step.
    """
    import grain  # takes a second, and no other command needs it

    steps = grain.MapDataset.range(sys.maxsize).map(batches.__getitem__)
    options = grain.ReadOptions(num_threads=NUM_THREADS, prefetch_buffer_size=NUM_READY)
    iterator = iter(steps.to_iter_dataset(options))
    iterator.set_state({"next_index": start_step})
    return iterator
