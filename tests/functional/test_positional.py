import jax.numpy as jnp
import numpy as np
import pytest
import reference
from reference import assert_close

from flax_transformer.functional import SCHEMES, learned_positions, sinusoidal_positions

LENGTH, D_MODEL = 11, 13


@pytest.mark.parametrize("d_model", [1, 2, 12, 13])
def test_sinusoids_have_the_layout_of_the_paper(d_model, tolerance):
    positions = jnp.array([0, 1, 2, 17, 97])
    expected = reference.sinusoidal_positions(positions.tolist(), d_model)
    assert_close(sinusoidal_positions(positions, d_model), expected, tolerance)


def test_the_product_of_two_sinusoids_depends_on_their_distance_alone():
    near, far = (sinusoidal_positions(first + jnp.arange(LENGTH), 12) for first in (0, 53))
    assert_close(near @ near.T, far @ far.T, 1e-5)


def test_base_is_the_longest_wavelength():
    # The slowest sine of width 2 d has the frequency base^(-(d - 1) / d).
    slowest = sinusoidal_positions(jnp.array([1]), 4, base=25.0)[0, 2]
    np.testing.assert_allclose(slowest, np.sin(1 / 5), rtol=1e-6)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize("d_model", [0, -3])
def test_an_encoding_without_width_is_refused(d_model):
    with pytest.raises(ValueError, match=f"d_model must be positive, not {d_model}"):
        sinusoidal_positions(jnp.arange(LENGTH), d_model)


def test_learned_positions_are_rows_and_none_beyond_the_table(normal):
    table = normal(5, D_MODEL)
    rows = learned_positions(jnp.array([4, 0, 5, 97]), table)
    np.testing.assert_array_equal(rows[:2], table[jnp.array([4, 0])])
    assert jnp.isnan(rows[2:]).all()


def test_more_positions_than_rows_are_refused(normal):
    with pytest.raises(ValueError, match=r"11 positions do not fit a table \(5, 13\)"):
        learned_positions(jnp.arange(LENGTH), normal(5, D_MODEL))


@pytest.mark.parametrize("name", SCHEMES)
def test_a_position_is_encoded_the_same_wherever_the_sequence_begins(name, normal):
    scheme = SCHEMES[name]
    table = normal(LENGTH, D_MODEL) if scheme.has_table else None
    whole = scheme.encode(jnp.arange(LENGTH), D_MODEL, table)
    rest = scheme.encode(jnp.arange(3, LENGTH), D_MODEL, table)
    assert whole.shape[1] == D_MODEL
    np.testing.assert_array_equal(jnp.broadcast_to(whole, (LENGTH, D_MODEL))[3:], rest)


@pytest.mark.parametrize("name", SCHEMES)
def test_a_scheme_is_described_in_one_line(name):
    assert len(SCHEMES[name].description.splitlines()) == 1
