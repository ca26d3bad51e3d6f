import jax.numpy as jnp
import numpy as np
import pytest

from flax_transformer.decoding import LENGTH_PENALTIES, gnmt_length_penalty

LENGTHS = jnp.arange(1, 1009)


@pytest.mark.parametrize("penalty", LENGTH_PENALTIES.values(), ids=LENGTH_PENALTIES.keys())
@pytest.mark.parametrize("alpha", [0.0, 1e-3, 0.6, 1.0, 2.0])
def test_penalties_are_one_for_one_token_and_never_fall(penalty, alpha):
    """What the early stop of the beam search relies on."""
    values = np.asarray(penalty(LENGTHS, alpha))
    assert values.dtype == np.float32
    assert values[0] == 1.0
    assert (np.diff(values) >= 0).all()
    assert (values[-1] > values[0]) == (alpha > 0)


@pytest.mark.parametrize("penalty", LENGTH_PENALTIES.values(), ids=LENGTH_PENALTIES.keys())
def test_negative_strength_is_refused(penalty):
    with pytest.raises(ValueError, match=r"alpha must be at least 0, got -0\.5"):
        penalty(LENGTHS, -0.5)


def test_gnmt_penalty_is_equation_14():
    # lp(Y) = (5 + |Y|)^alpha / (5 + 1)^alpha, as the paper writes it.
    expected = (5 + np.arange(1, 1009)) ** 0.6 / (5 + 1) ** 0.6
    np.testing.assert_allclose(gnmt_length_penalty(LENGTHS, 0.6), expected, rtol=1e-6)
