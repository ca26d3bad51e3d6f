"""Batches for training and evaluation; their examples are a function of the step."""

import abc
import copy
import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

MIN_LENGTH = 16  # of padded texts; shorter batches save too little to compile for


class Group(NamedTuple):
    """The choice of examples for one batch.

    Attributes:
        indices: the example of each row, -1 for a row that only fills the batch.
        form: further arguments of `Batches.make`, such as the batch's shape.
    """

    indices: Int[np.ndarray, " rows"]
    form: Any = None


class Batches(abc.ABC):
    """The batch of every step: `batches[step]` for step 0, 1, 2, ... without end.

    Every epoch contains every example once. Training shuffles the examples by (seed, epoch).
    Evaluation keeps their order. A batch depends only on the seed and its step, so training can
    continue from any step.

    A subclass implements `plan`, `make` and `describe`.

    Attributes:
        batches_per_epoch: number of batches that `plan` returns.

    Args:
        batches_per_epoch: see the attribute.
        seed: seed of the shuffling; None for evaluation.

    Example:
        >>> class Numbers(Batches):
        ...     def plan(self, rng):
        ...         numbers = np.arange(6) if rng is None else rng.permutation(6)
        ...         return [Group(rows) for rows in numbers.reshape(3, 2)]
        ...     def make(self, indices, form):
        ...         return indices.tolist()
        ...     def describe(self, devices):
        ...         return ["6 numbers"]
        >>> [batch for _, batch in Numbers(3, seed=None).epoch()]
        [[0, 1], [2, 3], [4, 5]]
        >>> sorted(sum((Numbers(3, seed=1)[step] for step in range(3, 6)), []))
        [0, 1, 2, 3, 4, 5]
    """

    def __init__(self, batches_per_epoch: int, seed: int | None):
        self.batches_per_epoch, self._seed = batches_per_epoch, seed
        self._multiple, self._parts, self._num_parts = 1, (0,), 1
        # Two, because prefetching threads begin the next epoch before the last one ends.
        self._groups = functools.lru_cache(maxsize=2)(self._plan_epoch)

    @abc.abstractmethod
    def plan(self, rng: np.random.Generator | None) -> Sequence[Group]:
        """Chooses the examples of every batch of an epoch; without a generator, in order."""

    @abc.abstractmethod
    def make(self, indices: Int[np.ndarray, " rows"], form: Any) -> Any:
        """Builds a batch of some rows of a group, with the group's form."""

    @abc.abstractmethod
    def describe(self, devices: str) -> list[str]:
        """Describes an epoch in a few lines; `devices` names the devices that share an update."""

    def __getitem__(self, step: int) -> Any:
        return self.make(self.rows(step), self._group(step).form)

    def rows(self, step: int) -> Int[np.ndarray, " rows"]:
        """Returns the example in each row of a step's batch, -1 for a row that only fills it."""
        parts = np.split(_filled(self._group(step).indices, self._multiple), self._num_parts)
        return np.concatenate([parts[part] for part in self._parts])

    def epoch(self, number: int = 0) -> Iterator[tuple[Int[np.ndarray, " rows"], Any]]:
        """Yields the rows and the batch of every step of an epoch."""
        first = number * self.batches_per_epoch
        for step in range(first, first + self.batches_per_epoch):
            yield self.rows(step), self[step]

    def filled(self, multiple: int) -> "Batches":
        """Returns the batches with empty rows at the end, so that rows are a multiple.

        The examples of a batch therefore do not depend on the devices that share its rows.
        """
        filled = copy.copy(self)
        filled._multiple = multiple
        return filled

    def shard(self, parts: Sequence[int], num_parts: int) -> "Batches":
        """Returns the batches of one process: some of the equal parts of every batch's rows.

        Args:
            parts: numbers of these parts, from 0.
            num_parts: number of all parts.

        Raises:
            ValueError: if the rows of a batch are not a multiple of num_parts.
        """
        sizes = {_filled(group.indices, self._multiple).size for group in self._groups(0)}
        if any(size % num_parts for size in sizes):
            raise ValueError(f"batches of {sorted(sizes)} rows do not divide by {num_parts} parts")
        shard = copy.copy(self)
        shard._parts, shard._num_parts = tuple(parts), num_parts
        return shard

    def _group(self, step: int) -> Group:
        epoch, index = divmod(step, self.batches_per_epoch)
        return self._groups(epoch)[index]

    def _plan_epoch(self, epoch: int) -> Sequence[Group]:
        seed = self._seed
        return self.plan(None if seed is None else np.random.default_rng((seed, epoch)))


def in_rows(indices: Int[np.ndarray, " examples"], rows: int) -> Int[np.ndarray, "batches rows"]:
    """Splits indices into batches of batch_size rows; -1 fills the last one.

    Example:
        >>> in_rows(np.array([3, 5, 4]), 2).tolist()
        [[3, 5], [4, -1]]
    """
    return _filled(indices, rows).reshape(-1, rows)


def _filled(indices: Int[np.ndarray, " rows"], multiple: int) -> Int[np.ndarray, " more_rows"]:
    return np.pad(indices, (0, -len(indices) % multiple), constant_values=-1)


def padded_length(longest: int, max_length: int) -> int:
    """Returns the length of a batch: a power of two, so that few shapes are compiled.

    Example:
        >>> [padded_length(longest, max_length=100) for longest in (3, 17, 65)]
        [16, 32, 100]
    """
    return min(max(MIN_LENGTH, 1 << (longest - 1).bit_length()), max_length)
