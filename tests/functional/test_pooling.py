import jax.numpy as jnp
import numpy as np
import pytest
from reference import assert_close

from flax_transformer.functional import first_token, max_of_tokens, mean_of_tokens

LENGTH, D_MODEL = 5, 7
IS_TOKEN = jnp.array([False, False, True, True, False])


@pytest.mark.parametrize("pool", [first_token, mean_of_tokens, max_of_tokens])
def test_padding_does_not_count_whatever_it_holds(normal, pool):
    hidden = normal(LENGTH, D_MODEL)
    spoiled = hidden.at[jnp.array([0, 1, 4])].set(jnp.nan)
    assert_close(pool(spoiled, IS_TOKEN), pool(hidden[2:4]), 1e-6)


def test_they_are_the_first_the_mean_and_the_largest(normal):
    hidden = normal(LENGTH, D_MODEL)
    np.testing.assert_array_equal(first_token(hidden), hidden[0])
    assert_close(mean_of_tokens(hidden), np.asarray(hidden, np.float64).mean(axis=0), 1e-6)
    np.testing.assert_array_equal(max_of_tokens(hidden), np.asarray(hidden).max(axis=0))


@pytest.mark.parametrize("pool", [mean_of_tokens, max_of_tokens])
def test_of_padding_alone_it_is_zero(normal, pool):
    assert not pool(normal(LENGTH, D_MODEL), jnp.zeros(LENGTH, bool)).any()


def test_the_largest_may_be_negative(normal):
    hidden = -jnp.abs(normal(LENGTH, D_MODEL))
    np.testing.assert_array_equal(max_of_tokens(hidden, IS_TOKEN), hidden[2:4].max(axis=0))
