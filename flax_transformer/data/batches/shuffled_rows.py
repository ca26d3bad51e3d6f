"""Which examples stand in the rows of every training step, where all batches have as many rows."""

import copy
import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Int

from flax_transformer.errors import UserError


class ShuffledRows:
    """The rows of every training step: `rows[step]` for step 0, 1, 2, ... without end.

    An epoch is shuffled by (seed, epoch), and the rows of a step depend on nothing else, so
    training continues from any step.

    Args:
        shuffle: makes the batches of an epoch, a row of the result each, with a random generator.
        batches_per_epoch: how many it makes.
        batch_size: numbers in each of them.
        rows_multiple: what batch_size divides by, such as the number of devices.
        seed: of the shuffling.

    Raises:
        UserError: if batch_size is no multiple of rows_multiple.

    Example:
        >>> rows = ShuffledRows(lambda rng: rng.permutation(6).reshape(3, 2), 3, 2)
        >>> sorted(np.concatenate([rows[step] for step in range(3, 6)]).tolist())
        [0, 1, 2, 3, 4, 5]
    """

    def __init__(
        self,
        shuffle: Callable[[np.random.Generator], Int[np.ndarray, "batches rows"]],
        batches_per_epoch: int,
        batch_size: int,
        rows_multiple: int = 1,
        seed: int = 0,
    ):
        if batch_size % rows_multiple:
            raise UserError(
                f"data.batch_size {batch_size} is no multiple of {rows_multiple}, the devices "
                "times training.accumulate_steps: change it"
            )
        self.batches_per_epoch, self.batch_size = batches_per_epoch, batch_size
        self._part = 0, 1

        # Two, because prefetching threads reach into the next epoch before the last one ends.
        @functools.lru_cache(maxsize=2)
        def epoch(number: int) -> np.ndarray:
            return shuffle(np.random.default_rng((seed, number)))

        self._epoch = epoch

    def __getitem__(self, step: int) -> Int[np.ndarray, " rows"]:
        epoch, index = divmod(step, self.batches_per_epoch)
        process, processes = self._part
        return np.split(self._epoch(epoch)[index], processes)[process]

    def shard(self, process_index: int, process_count: int) -> "ShuffledRows":
        """Gives the rows of one process: its part of every batch.

        Raises:
            ValueError: if the rows of a batch do not divide by process_count.
        """
        if self.batch_size % process_count:
            raise ValueError(f"{self.batch_size} rows do not divide by {process_count} processes")
        part = copy.copy(self)
        part._part = process_index, process_count
        return part
