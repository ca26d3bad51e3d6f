import jax.numpy as jnp
import numpy as np
import pytest

from flax_transformer.functional import (
    Written,
    append,
    lay_down,
    lineage_mask,
    read_all,
    read_own,
)

BATCH, MEMBERS, CAPACITY, HEADS, KEY_DIM, VALUE_DIM = 2, 3, 7, 5, 11, 13
ROWS, PLACES = BATCH * MEMBERS, CAPACITY * MEMBERS


@pytest.fixture
def keys_values(normal):
    """Draws keys and values of all rows."""

    def draw(length: int) -> tuple:
        return normal(ROWS, length, HEADS, KEY_DIM), normal(ROWS, length, HEADS, VALUE_DIM)

    return draw


@pytest.mark.parametrize(("length", "new_length"), [(0, 7), (0, 1), (2, 3), (6, 1)])
def test_new_positions_follow_the_filled_ones_and_leave_the_rest(keys_values, length, new_length):
    before, new = keys_values(CAPACITY), keys_values(new_length)
    written = append(
        lay_down(*before, members=MEMBERS),
        lay_down(*new, members=MEMBERS),
        jnp.int32(length * MEMBERS),
    )
    for actual, old, added in zip(read_own(written, MEMBERS), before, new, strict=True):
        expected = np.array(old)
        expected[:, length : length + new_length] = added
        np.testing.assert_array_equal(actual, expected)


def test_the_members_of_an_example_stand_side_by_side(keys_values):
    given = keys_values(CAPACITY)
    for actual, expected in zip(read_all(lay_down(*given, members=MEMBERS)), given, strict=True):
        for row in range(ROWS):
            example, member = divmod(row, MEMBERS)
            np.testing.assert_array_equal(actual[example, member::MEMBERS], expected[row])


def test_what_is_written_keeps_its_type(keys_values):
    room = Written(
        jnp.zeros((BATCH, HEADS, KEY_DIM, PLACES), jnp.bfloat16),
        jnp.zeros((BATCH, HEADS, PLACES, VALUE_DIM), jnp.bfloat16),
    )
    appended = append(room, lay_down(*keys_values(1), members=MEMBERS), jnp.int32(0))
    for array in appended:
        assert array.dtype == jnp.bfloat16
        assert array.any()


def test_more_than_there_is_room_for_is_refused(keys_values):
    room, new = (lay_down(*keys_values(n), members=MEMBERS) for n in (CAPACITY, CAPACITY + 1))
    with pytest.raises(ValueError, match="24 new places do not fit a cache of 21"):
        append(room, new, jnp.int32(0))


@pytest.mark.usefixtures("unchecked_types")
def test_a_length_for_each_row_is_refused(keys_values):
    written = lay_down(*keys_values(CAPACITY), members=MEMBERS)
    with pytest.raises(ValueError, match=r"length \(6,\) must be one number"):
        append(written, written, jnp.zeros(ROWS, jnp.int32))


def test_rows_that_are_no_multiple_of_the_members_are_refused(keys_values):
    with pytest.raises(ValueError, match="not a multiple of 4 members"):
        lay_down(*keys_values(1), members=4)


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


def test_a_cache_of_16_bits_is_not_widened_to_write_into_it():
    written, new = (
        Written(
            jnp.zeros((2, 3, 7, places), jnp.bfloat16), jnp.zeros((2, 3, places, 5), jnp.bfloat16)
        )
        for places in (11, 2)
    )
    program = append.lower(written, new, jnp.int32(4)).compile().as_text() or ""
    assert "bf16[2,3,7,11]" in program
    assert "f32[" not in program
