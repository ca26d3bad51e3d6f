import itertools

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from flax_transformer.training.checkpoints.bit_sums import own_bytes, sums

DTYPES = [np.float32, np.float64, ml_dtypes.bfloat16, np.int8, np.uint32, bool]


def sum_of(array):
    (number,) = sums({"a": array}).values()
    return number


def direct_sum(array):
    """The formula, entry by entry, in Python's integers."""
    assert array.shape == (3, 5)
    first = [sum_of(np.eye(3, dtype=np.uint8)[i]) for i in range(3)]
    # The weights of the first axis differ from those of the second.
    second = [sum_of(np.pad(np.eye(5, dtype=np.uint8)[[j]], ((0, 2), (0, 0)))) for j in range(5)]
    bits = array.view(f"u{array.dtype.itemsize}").tolist()
    inverse = pow(first[0], -1, 2**64)
    return (
        sum(
            bits[i][j] * first[i] * second[j] * inverse
            for i, j in itertools.product(range(3), range(5))
        )
        % 2**64
    )


def test_a_sum_is_that_of_its_formula():
    array = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    assert sum_of(array) == direct_sum(array)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: np.dtype(dtype).name)
def test_each_changed_bit_and_exchanged_entry_changes_the_sum(dtype):
    array = (np.arange(21).reshape(3, 7) % 5).astype(dtype)
    expected = sum_of(array)
    for place in np.ndindex(array.shape):
        changed = array.copy()
        changed.view(np.uint8).reshape(3, 7, -1)[place][0] ^= 1
        assert sum_of(changed) != expected
    assert sum_of(array[::-1]) != expected
    assert sum_of(array[:, ::-1]) != expected
    assert sum_of(array.T) != expected


@pytest.mark.parametrize(
    "cut", [P(), P("x"), P(None, "x"), P("y", "x"), P(("x", "y")), P(None, "y")], ids=str
)
def test_a_sum_does_not_depend_on_how_an_array_is_cut(cut):
    mesh = jax.make_mesh((2, 4), ("x", "y"))
    array = np.random.default_rng(1).normal(size=(8, 16, 3)).astype(np.float32)
    placed = jax.device_put(array, NamedSharding(mesh, cut))
    assert sum_of(placed) == sum_of(array)
    assert own_bytes([placed]) == array.nbytes


def test_numbers_and_empty_arrays_have_sums():
    assert sum_of(np.float32(3)) == sum_of(jnp.float32(3)) != sum_of(np.float32(5))
    assert sum_of(np.float32(0)) != sum_of(np.float32(-0.0))
    assert sum_of(np.zeros((0, 3), np.float32)) == 0
