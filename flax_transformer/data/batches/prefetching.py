"""Batches of later steps, built while a step runs."""

import sys
from typing import TYPE_CHECKING, Any

from flax_transformer.data.batches.batches import Batches

if TYPE_CHECKING:
    import grain

NUM_THREADS = 2  # that build batches
NUM_READY = 8  # batches kept ready


def training_pipeline(batches: Batches, start_step: int = 0) -> "grain.DatasetIterator[Any]":
    """Iterates over the batches of start_step and all later steps, built ahead in threads.

    The iterator's `get_state` is a small dictionary that JSON can hold; its `set_state` continues
    with exactly the batch that would have come next. What a thread raises, `next` raises.

    Args:
        batches: the batches of this process.
        start_step: first training step to give.
    """
    import grain  # takes a second that no other command needs

    steps = grain.MapDataset.range(sys.maxsize).map(batches.__getitem__)
    options = grain.ReadOptions(num_threads=NUM_THREADS, prefetch_buffer_size=NUM_READY)
    iterator = iter(steps.to_iter_dataset(options))
    iterator.set_state({"next_index": start_step})
    return iterator
