"""Numbers that show whether the bits of arrays have changed, however these are cut over devices."""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from flax_transformer.training.checkpoints.checkpoint_contents import named_leaves


def sums(tree: Any) -> dict[str, int]:
    """Computes a number for each array, which shows whether its bits have changed.

    s = sum_i x_i prod_a w_a(i_a) mod 2^64, with the bits x_i of the entry at index i as a whole
    number, and odd weights w_a(n) that look random. Every change of one entry changes s. The sum
    does not depend on how an array is cut over devices. Of arrays that several processes share,
    this is the part of this process; parts add up.

    Example:
        >>> whole = sums({"a": np.arange(3.0)})["a"]
        >>> whole == sums({"a": np.array([0.0, 2.0, 1.0])})["a"]
        False

    Reference:
        Lemire and Kaser 2014, "Strongly universal string hashing is fast", section 3 (multilinear).
    """
    return {name: sum(_own_sums(leaf)) % 2**64 for name, leaf in named_leaves(tree).items()}


def is_shared(array: Any) -> bool:
    """Whether several processes have parts of an array."""
    return isinstance(array, jax.Array) and not array.is_fully_addressable


def own_bytes(tree: Any) -> int:
    """Counts the bytes of arrays of which this process has a part, without copies."""
    return sum(
        sum(shard.data.nbytes for shard in leaf.addressable_shards if shard.replica_id == 0)
        if isinstance(leaf, jax.Array)
        else leaf.nbytes
        for leaf in jax.tree.leaves(tree)
    )


def _own_sums(array: Any) -> Iterator[int]:
    if not isinstance(array, jax.Array):
        yield _sum(np.asarray(array), [0] * np.ndim(array))
        return
    for shard in array.addressable_shards:
        # Others are copies of the first one.
        if shard.replica_id == 0:
            yield _sum(np.asarray(shard.data), [axis.start or 0 for axis in shard.index])


def _sum(part: np.ndarray, start: Sequence[int]) -> int:
    """Returns the sum over a part of an array, whose first entry has the index `start`."""
    part = np.atleast_1d(part)
    bits = np.ascontiguousarray(part).view(f"u{part.dtype.itemsize}")
    total: Any = bits
    for axis in reversed(range(part.ndim)):
        first = start[axis] if axis < len(start) else 0
        weights = _weights(axis, first, part.shape[axis])
        total = np.einsum("...i,i->...", total, weights)
    return int(total)


def _weights(axis: int, first: int, count: int) -> np.ndarray:
    """Returns odd numbers: a mixing function of 64 bits, Steele et al. 2014, of index and axis."""
    z = np.arange(first + 1, first + count + 1, dtype=np.uint64) + np.uint64(axis << 48)
    z *= np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (z ^ (z >> np.uint64(31))) | np.uint64(1)
