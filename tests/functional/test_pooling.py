import jax.numpy as jnp
import numpy as np
import pytest
from reference import assert_close

from flax_transformer.functional import first_token, mean_of_tokens

LENGTH, D_MODEL = 5, 7
IS_TOKEN = jnp.array([False, False, True, True, False])


@pytest.mark.parametrize("pool", [first_token, mean_of_tokens])
def test_padding_does_not_count_whatever_it_holds(normal, pool):
    hidden = normal(LENGTH, D_MODEL)
    spoiled = hidden.at[jnp.array([0, 1, 4])].set(jnp.nan)
    assert_close(pool(spoiled, IS_TOKEN), pool(hidden[2:4]), 1e-6)


def test_they_are_the_first_and_the_mean(normal):
    hidden = normal(LENGTH, D_MODEL)
    np.testing.assert_array_equal(first_token(hidden), hidden[0])
    assert_close(mean_of_tokens(hidden), np.asarray(hidden, np.float64).mean(axis=0), 1e-6)


def test_of_padding_alone_the_mean_is_zero(normal):
    assert not mean_of_tokens(normal(LENGTH, D_MODEL), jnp.zeros(LENGTH, bool)).any()
