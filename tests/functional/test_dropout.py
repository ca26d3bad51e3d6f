import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_transformer.functional import dropout_multiplier

SHAPE = (97, 101, 13)
RNG = jax.random.key(3)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.9])
def test_factors_drop_the_rate_and_have_mean_one(rate):
    factors = np.asarray(dropout_multiplier(RNG, rate, SHAPE), np.float64)
    dropped, kept = np.unique(factors)
    assert dropped == 0
    np.testing.assert_allclose(kept, 1 / (1 - rate), rtol=1e-4)
    # Five standard errors of a share of independent draws.
    error = 5 * np.sqrt(rate * (1 - rate) / factors.size)
    np.testing.assert_allclose((factors == 0).mean(), rate, atol=error)
    np.testing.assert_allclose(factors.mean(), 1, atol=error * kept)


def test_the_factors_of_every_axis_are_independent():
    dropped = np.asarray(dropout_multiplier(RNG, 0.5, SHAPE)) == 0
    for axis in range(3):
        shares = dropped.mean(axis=axis)
        expected = 0.5 / np.sqrt(SHAPE[axis])
        np.testing.assert_allclose(shares.std(), expected, rtol=0.1)


def test_a_key_always_draws_the_same_and_another_key_does_not():
    factors = dropout_multiplier(RNG, 0.5, SHAPE)
    np.testing.assert_array_equal(factors, dropout_multiplier(RNG, 0.5, SHAPE))
    other = dropout_multiplier(jax.random.key(5), 0.5, SHAPE)
    assert 0.49 < jnp.mean(factors != other) < 0.51


def test_rate_zero_keeps_everything():
    np.testing.assert_array_equal(dropout_multiplier(RNG, 0.0, SHAPE), np.ones(SHAPE, np.float32))


def test_a_rate_just_below_one_stays_finite():
    assert jnp.isfinite(dropout_multiplier(RNG, 0.9999999, SHAPE)).all()


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_a_rate_that_is_no_share_is_refused(rate):
    with pytest.raises(ValueError, match=rf"must be in \[0, 1\), not {rate}"):
        dropout_multiplier(RNG, rate, SHAPE)
