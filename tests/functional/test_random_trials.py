import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.random import threefry_2x32
from jax.sharding import AxisType

from flax_transformer.functional import random_trials
from flax_transformer.functional.kernels.threefry_trials import _draw
from flax_transformer.functional.row_keys import of_rows, row_keys

RNG = jax.random.key(7)
SHAPE = (101, 103)


def expected_trials(key, threshold, shape):
    """Those of JAX's own blocks, taken apart in NumPy, row by row."""
    num_rows, size = (shape[0] if shape else 1), int(np.prod(shape[1:]))
    num_blocks = -(-size // 4)
    rows = []
    for row in range(num_rows):
        counters = jnp.concatenate([jnp.full(num_blocks, row), jnp.arange(num_blocks)])
        words = np.asarray(threefry_2x32(jax.random.key_data(key), counters.astype(jnp.uint32)))
        numbers = words.reshape(2, num_blocks).T.astype("<u4").reshape(-1).view("<u2")
        rows.append(numbers[:size] >= threshold)
    return np.reshape(rows, shape).astype(bool)


@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (7, 4), (3, 5, 7), (1, 103)])
@pytest.mark.parametrize("seed", [0, 2**31])
def test_they_are_of_the_blocks_of_jax(shape, seed):
    key, threshold = jax.random.key(seed), 23_456
    expected = expected_trials(key, threshold, shape)
    np.testing.assert_array_equal(random_trials(key, threshold, shape), expected)


@pytest.mark.parametrize(("num_rows", "num_blocks"), [(0, 5), (1, 101), (7, 0), (8, 3)])
def test_in_parts_they_are_the_same(num_rows, num_blocks):
    key, rows = jax.random.key_data(RNG), 5 + jnp.arange(num_rows, dtype=jnp.uint32)
    at_once = _draw(key, rows, threshold=6554, num_blocks=num_blocks)
    assert at_once.shape == (num_rows, num_blocks)
    for num_parts in (2, 3):
        parts = _draw(key, rows, threshold=6554, num_blocks=num_blocks, num_parts=num_parts)
        np.testing.assert_array_equal(parts, at_once)


def test_on_a_mesh_rows_and_words_are_cut_as_the_batch_is():
    # Without the constraint, a TPU's compiler may draw all rows on every device.
    mesh = jax.make_mesh((8,), ("fsdp",), axis_types=(AxisType.Auto,))
    with jax.set_mesh(mesh):
        program = str(jax.make_jaxpr(lambda: random_trials(RNG, 2**15, (16, 404)))())
    constraint = r":(u32\[[\d,]+\]) = sharding_constraint.*?spec=(P\(.*?\))"
    constrained = re.findall(constraint, program, re.DOTALL)
    assert [shape for shape, _ in constrained] == ["u32[16]", "u32[16,101]"]
    assert all("fsdp" in spec for _, spec in constrained)


def test_a_threshold_is_met_exactly():
    assert random_trials(RNG, 0, SHAPE).all()
    assert not random_trials(RNG, 2**16, SHAPE).any()
    for place in range(4):
        share = np.asarray(random_trials(RNG, 2**14, (101, 4 * 103)))[:, place::4].mean()
        np.testing.assert_allclose(share, 0.75, atol=5 * np.sqrt(0.75 * 0.25 / (101 * 103)))


def test_the_four_trials_of_a_block_are_independent():
    trials = np.asarray(random_trials(RNG, 2**15, (50_021, 4)), np.float64)
    correlations = np.corrcoef(trials.T) - np.eye(4)
    assert np.abs(correlations).max() < 5 / np.sqrt(50_021)


def test_the_rows_are_independent():
    trials = np.asarray(random_trials(RNG, 2**15, (31, 10_007)), np.float64)
    correlations = np.corrcoef(trials) - np.eye(31)
    assert np.abs(correlations).max() < 5 / np.sqrt(10_007)


@pytest.mark.parametrize(("first", "stride"), [(0, 1), (5, 1), (1, 3)])
def test_a_part_of_a_batch_draws_what_the_batch_draws(first, stride):
    whole = np.asarray(random_trials(RNG, 2**15, (17, 3, 7)))
    part = random_trials(of_rows(RNG, first, stride, 4), 2**15, (4, 3, 7))
    np.testing.assert_array_equal(part, whole[first::stride][:4])
    # Each row may stand for several, as the frames of a video.
    whole = np.asarray(random_trials(RNG, 2**15, (17 * 5, 3, 7))).reshape(17, 5, 3, 7)
    part = random_trials(of_rows(RNG, first, stride, 4), 2**15, (4 * 5, 3, 7))
    np.testing.assert_array_equal(part.reshape(4, 5, 3, 7), whole[first::stride][:4])


def test_keys_made_from_a_key_of_rows_are_of_the_same_rows():
    def derive(rng):
        return jax.random.fold_in(jax.random.split(rng, 3)[1], 5)

    whole = np.asarray(random_trials(derive(RNG), 2**15, (9, 31)))
    part = random_trials(derive(of_rows(RNG, 4, 1, 3)), 2**15, (3, 31))
    np.testing.assert_array_equal(part, whole[4:7])
    rows = jax.random.key_data(row_keys(derive(RNG), 9))
    of_part = jax.random.key_data(row_keys(derive(of_rows(RNG, 4, 1, 3)), 3))
    np.testing.assert_array_equal(of_part, rows[4:7])


def test_other_draws_of_two_parts_differ():
    draws = [jax.random.normal(of_rows(RNG, first, 1, 4), (31,)) for first in (0, 4)]
    assert (draws[0] != draws[1]).all()
    rbg = jax.random.key(7, impl="rbg")
    trials = [random_trials(of_rows(rbg, first, 1, 4), 2**15, (4, 31)) for first in (0, 4)]
    assert (trials[0] != trials[1]).any()


def test_a_key_of_the_older_form_is_taken_too():
    old = jax.random.PRNGKey(7)
    np.testing.assert_array_equal(random_trials(old, 99, SHAPE), random_trials(RNG, 99, SHAPE))


def test_a_key_of_another_generator_draws_from_that():
    key = jax.random.key(7, impl="rbg")
    trials = np.asarray(random_trials(key, 2**14, SHAPE))
    bits = np.asarray(jax.random.bits(key, (2, SHAPE[0], -(-SHAPE[1] // 4))))
    numbers = np.ascontiguousarray(np.moveaxis(bits, 0, -1)).view(np.uint16)
    expected = numbers.reshape(SHAPE[0], -1)[:, : SHAPE[1]] >= 2**14
    np.testing.assert_array_equal(trials, expected)


def test_a_row_larger_than_the_counter_is_refused():
    with pytest.raises(ValueError, match="17,179,869,184 elements"):
        jax.eval_shape(lambda: random_trials(RNG, 1, (3, 2**17, 2**17)))
