import jax
import numpy as np
import pytest

from flax_transformer.functional import random_bits

RNG = jax.random.key(7)
SHAPE = (101, 103)


@pytest.mark.parametrize("shape", [(), (0, 3), (5,), SHAPE])
@pytest.mark.parametrize("seed", [0, 7, 2**31])
def test_they_are_those_of_jax(shape, seed):
    key = jax.random.key(seed)
    np.testing.assert_array_equal(random_bits(key, shape), jax.random.bits(key, shape))


def test_a_key_of_the_older_form_is_taken_too():
    old = jax.random.PRNGKey(7)
    np.testing.assert_array_equal(random_bits(old, SHAPE), random_bits(RNG, SHAPE))


def test_a_key_of_another_generator_draws_from_that():
    key = jax.random.key(7, impl="rbg")
    np.testing.assert_array_equal(random_bits(key, SHAPE), jax.random.bits(key, SHAPE))


def test_an_array_larger_than_the_counter_is_refused():
    with pytest.raises(ValueError, match="4,294,967,296 elements"):
        jax.eval_shape(lambda: random_bits(RNG, (2**16, 2**16)))
