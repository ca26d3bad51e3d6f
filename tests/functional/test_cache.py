import jax.numpy as jnp
import numpy as np
import pytest

from flax_transformer.functional import append, lineage_mask, read_own

BATCH, MEMBERS, CAPACITY, HEADS, HEAD_DIM = 2, 3, 7, 5, 11
ROWS, PLACES = BATCH * MEMBERS, CAPACITY * MEMBERS


@pytest.mark.parametrize(("length", "new_length"), [(0, 7), (0, 1), (2, 3), (6, 1)])
def test_new_positions_follow_the_filled_ones_and_leave_the_rest(normal, length, new_length):
    buffer = normal(BATCH, HEADS, PLACES, HEAD_DIM)
    new = normal(ROWS, new_length, HEADS, HEAD_DIM)
    expected = np.array(read_own(buffer, MEMBERS))
    expected[:, length : length + new_length] = new
    actual = append(buffer, new, jnp.int32(length))
    np.testing.assert_array_equal(read_own(actual, MEMBERS), expected)


def test_the_members_of_an_example_stand_side_by_side(normal):
    new = normal(ROWS, 1, HEADS, HEAD_DIM)
    buffer = append(jnp.zeros((BATCH, HEADS, PLACES, HEAD_DIM)), new, jnp.int32(2))
    for row in range(ROWS):
        example, member = divmod(row, MEMBERS)
        place = 2 * MEMBERS + member
        np.testing.assert_array_equal(buffer[example, :, place], new[row, 0])
    assert np.count_nonzero(np.asarray(buffer).any(axis=(0, 1, 3))) == MEMBERS


def test_the_buffer_keeps_its_type(normal):
    buffer = jnp.zeros((BATCH, HEADS, PLACES, HEAD_DIM), jnp.bfloat16)
    appended = append(buffer, normal(ROWS, 1, HEADS, HEAD_DIM), jnp.int32(0))
    assert appended.dtype == jnp.bfloat16
    assert appended.any()


def test_more_than_the_capacity_is_refused(normal):
    buffer, new = normal(BATCH, HEADS, PLACES, HEAD_DIM), normal(ROWS, 8, HEADS, HEAD_DIM)
    with pytest.raises(ValueError, match="8 new positions do not fit a cache of 7"):
        append(buffer, new, jnp.int32(0))


@pytest.mark.usefixtures("unchecked_types")
def test_a_length_for_each_row_is_refused(normal):
    buffer, new = normal(BATCH, HEADS, PLACES, HEAD_DIM), normal(ROWS, 1, HEADS, HEAD_DIM)
    with pytest.raises(ValueError, match=r"length \(6,\) must be one number"):
        append(buffer, new, jnp.zeros(ROWS, jnp.int32))


def test_a_row_sees_what_its_hypothesis_holds_whoever_wrote_it():
    draw = np.random.default_rng(0)
    mask = draw.random((ROWS, 2, CAPACITY)) < 0.7
    lineage = draw.integers(0, MEMBERS, (ROWS, CAPACITY))
    actual = np.asarray(lineage_mask(jnp.asarray(mask), jnp.asarray(lineage), MEMBERS))
    expected = np.zeros((BATCH, MEMBERS * 2, PLACES), bool)
    for row, query, position in np.argwhere(mask):
        example, member = divmod(row, MEMBERS)
        place = position * MEMBERS + lineage[row, position]
        expected[example, member * 2 + query, place] = True
    np.testing.assert_array_equal(actual, expected)
