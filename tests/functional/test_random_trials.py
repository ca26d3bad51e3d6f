import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.random import threefry_2x32

from flax_transformer.functional import random_trials
from flax_transformer.functional.kernels.threefry_trials import _draw

RNG = jax.random.key(7)
SHAPE = (101, 103)


def expected_trials(key, threshold, shape):
    """Those of JAX's own blocks, taken apart in NumPy."""
    size = int(np.prod(shape))
    num_blocks = -(-size // 4)
    counters = jnp.concatenate([jnp.zeros(num_blocks, jnp.uint32), jnp.arange(num_blocks)])
    words = np.asarray(threefry_2x32(jax.random.key_data(key), counters.astype(jnp.uint32)))
    numbers = words.reshape(2, num_blocks).T.astype("<u4").reshape(-1).view("<u2")
    return (numbers[:size] >= threshold).reshape(shape)


@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (7, 4), SHAPE])
@pytest.mark.parametrize("seed", [0, 7, 2**31])
def test_they_are_of_the_blocks_of_jax(shape, seed):
    key, threshold = jax.random.key(seed), 23_456
    expected = expected_trials(key, threshold, shape)
    np.testing.assert_array_equal(random_trials(key, threshold, shape), expected)


@pytest.mark.parametrize("num_blocks", [0, 1, 101, 1024])
def test_in_parts_they_are_the_same(num_blocks):
    key = jax.random.key_data(RNG)
    at_once = _draw(key, threshold=6554, num_blocks=num_blocks)
    for num_parts in (2, 3):
        parts = _draw(key, threshold=6554, num_blocks=num_blocks, num_parts=num_parts)
        np.testing.assert_array_equal(parts, at_once)


def test_a_threshold_is_met_exactly():
    assert random_trials(RNG, 0, SHAPE).all()
    assert not random_trials(RNG, 2**16, SHAPE).any()
    for place in range(4):
        share = np.asarray(random_trials(RNG, 2**14, (4 * 10_007,)))[place::4].mean()
        np.testing.assert_allclose(share, 0.75, atol=5 * np.sqrt(0.75 * 0.25 / 10_007))


def test_the_four_trials_of_a_block_are_independent():
    trials = np.asarray(random_trials(RNG, 2**15, (50_021, 4)), np.float64)
    correlations = np.corrcoef(trials.T) - np.eye(4)
    assert np.abs(correlations).max() < 5 / np.sqrt(50_021)


def test_a_key_of_the_older_form_is_taken_too():
    old = jax.random.PRNGKey(7)
    np.testing.assert_array_equal(random_trials(old, 99, SHAPE), random_trials(RNG, 99, SHAPE))


def test_a_key_of_another_generator_draws_from_that():
    key = jax.random.key(7, impl="rbg")
    trials = np.asarray(random_trials(key, 2**14, SHAPE))
    bits = np.asarray(jax.random.bits(key, (2, -(-trials.size // 4))))
    numbers = bits.T.reshape(-1).view(np.uint16)[: trials.size]
    np.testing.assert_array_equal(trials, (numbers >= 2**14).reshape(SHAPE))


def test_an_array_larger_than_the_counter_is_refused():
    with pytest.raises(ValueError, match="17,179,869,184 elements"):
        jax.eval_shape(lambda: random_trials(RNG, 1, (2**17, 2**17)))
