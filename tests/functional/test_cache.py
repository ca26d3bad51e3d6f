import jax.numpy as jnp
import numpy as np
import pytest

from flax_transformer.functional import append

ROWS, CAPACITY, HEADS, HEAD_DIM = 2, 7, 3, 5


@pytest.mark.parametrize(("length", "new_length"), [(0, 7), (0, 1), (2, 3), (6, 1)])
def test_new_positions_follow_the_filled_ones_and_leave_the_rest(normal, length, new_length):
    buffer = normal(ROWS, CAPACITY, HEADS, HEAD_DIM)
    new = normal(ROWS, new_length, HEADS, HEAD_DIM)
    expected = np.array(buffer)
    expected[:, length : length + new_length] = new
    np.testing.assert_array_equal(append(buffer, new, jnp.int32(length)), expected)


def test_the_buffer_keeps_its_type(normal):
    buffer = jnp.zeros((ROWS, CAPACITY, HEADS, HEAD_DIM), jnp.bfloat16)
    appended = append(buffer, normal(ROWS, 1, HEADS, HEAD_DIM), jnp.int32(0))
    assert appended.dtype == jnp.bfloat16
    assert appended.any()


def test_more_than_the_capacity_is_refused(normal):
    buffer, new = (normal(ROWS, length, HEADS, HEAD_DIM) for length in (CAPACITY, CAPACITY + 1))
    with pytest.raises(ValueError, match="8 new positions do not fit a cache of 7"):
        append(buffer, new, jnp.int32(0))


@pytest.mark.usefixtures("unchecked_types")
def test_a_length_for_each_row_is_refused(normal):
    buffer = normal(ROWS, CAPACITY, HEADS, HEAD_DIM)
    with pytest.raises(ValueError, match=r"length \(2,\) must be one number"):
        append(buffer, buffer, jnp.zeros(ROWS, jnp.int32))
