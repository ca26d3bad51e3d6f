import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_transformer.functional import random_bits

RNG = jax.random.key(7)
SHAPE = (101, 103)


@pytest.mark.parametrize("shape", [(), (0, 3), (5,), SHAPE])
def test_with_twenty_rounds_they_are_those_of_jax(shape):
    np.testing.assert_array_equal(random_bits(RNG, shape, 20), jax.random.bits(RNG, shape))


def test_a_key_of_the_older_form_is_taken_too():
    old = jax.random.PRNGKey(7)
    np.testing.assert_array_equal(random_bits(old, SHAPE), random_bits(RNG, SHAPE))


def test_a_key_of_another_generator_draws_from_that():
    key = jax.random.key(7, impl="rbg")
    np.testing.assert_array_equal(random_bits(key, SHAPE), jax.random.bits(key, SHAPE))


def flipped_bits(key_data: np.ndarray, flip: int, num_rounds: int) -> np.ndarray:
    """How often each bit of the output changes with one bit of the key: [32]."""
    other = key_data.copy()
    other[flip // 32] ^= np.uint32(1 << flip % 32)
    drawn = [
        random_bits(jax.random.wrap_key_data(jnp.asarray(data)), SHAPE, num_rounds)
        for data in (key_data, other)
    ]
    changed = np.asarray(drawn[0] ^ drawn[1])
    return (changed[..., None] >> np.arange(32) & 1).mean(axis=(0, 1))


def is_even(shares: np.ndarray) -> bool:
    """Whether shares of so many independent draws lie within six standard errors of a half."""
    return bool((np.abs(shares - 0.5) < 6 * 0.5 / np.prod(SHAPE) ** 0.5).all())


@pytest.mark.parametrize("flip", range(0, 64, 7))
def test_a_changed_bit_of_the_key_changes_half_of_all_bits(flip):
    key_data = np.asarray(jax.random.key_data(RNG))
    assert is_even(flipped_bits(key_data, flip, 13))


def test_this_would_be_seen_to_fail():
    key_data = np.asarray(jax.random.key_data(RNG))
    assert not is_even(flipped_bits(key_data, 60, 4))


def test_neighbours_are_independent_in_every_bit():
    drawn = np.asarray(random_bits(RNG, SHAPE))
    for first, second in ((drawn[:, :-1], drawn[:, 1:]), (drawn[:-1], drawn[1:])):
        agree = (~(first ^ second))[..., None] >> np.arange(32) & 1
        assert is_even(agree.mean(axis=(0, 1)))


def test_all_values_are_as_frequent():
    drawn = np.asarray(random_bits(RNG, (2**18,)))
    for shift in (0, 12, 24):
        counts = np.bincount(drawn >> shift & 255, minlength=256)
        chi_square = ((counts - 1024.0) ** 2 / 1024).sum()
        # Mean and six standard deviations of the distribution with 255 degrees of freedom.
        assert abs(chi_square - 255) < 6 * (2 * 255) ** 0.5


def test_an_array_larger_than_the_counter_is_refused():
    with pytest.raises(ValueError, match="4,294,967,296 elements"):
        jax.eval_shape(lambda: random_bits(RNG, (2**16, 2**16)))
