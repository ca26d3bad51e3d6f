import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from reference import assert_close

from flax_transformer.functional import SCHEMES
from flax_transformer.visualization.positions import plot_positions

LENGTH, D_MODEL = 13, 11


@pytest.fixture(scope="module")
def panels():
    """The axes of each scheme's panels, without those of the scales beside them."""
    cells = plot_positions(LENGTH, D_MODEL).subfigs
    return {cell.get_suptitle(): [axes for axes in cell.axes if axes.images] for cell in cells}


def matrix(axes):
    return np.asarray(axes.images[0].get_array())


def test_every_scheme_has_its_pair_of_panels(panels):
    assert {name for name in panels if name} == set(SCHEMES)
    for name in SCHEMES:
        assert len(panels[name]) == (0 if name == "none" else 2)
        assert all(axes.get_xlabel() and axes.get_ylabel() for axes in panels[name])


def test_an_encoding_stands_beside_its_dot_products(panels):
    encoding, products = panels["sinusoidal"]
    expected = reference.sinusoidal_positions(range(LENGTH), D_MODEL)
    assert_close(matrix(encoding), expected, 1e-5)
    assert_close(matrix(products), expected @ expected.T, 1e-5)


def test_a_rotation_is_drawn_by_what_it_does_to_ones(panels):
    rotated, products = panels["rotary"]
    expected = reference.rotary(np.ones((LENGTH, D_MODEL)), range(LENGTH))
    assert_close(matrix(rotated), expected, 1e-5)
    assert_close(matrix(products), expected @ expected.T, 1e-5)


def test_a_bias_stands_beside_the_weights_it_gives(panels):
    bias, weights = panels["alibi"]
    positions = jnp.arange(LENGTH)
    expected = -jnp.abs(positions[:, None] - positions) / 2
    np.testing.assert_array_equal(matrix(bias), expected)
    assert_close(matrix(weights), jax.nn.softmax(expected), 1e-6)


def test_columns_of_zeros_do_not_hide_the_others(panels):
    encoding, _ = panels["number"]
    assert matrix(encoding).shape == (LENGTH, 8)
    np.testing.assert_array_equal(matrix(encoding)[:, 0], range(LENGTH))
    assert encoding.get_title() == "encoding, the first 8 columns"


def test_two_colours_meet_at_zero_and_one_ramp_begins_or_ends_there(panels):
    for axes in (axes for pair in panels.values() for axes in pair):
        image, values = axes.images[0], matrix(axes)
        least, most = image.get_clim()
        assert least <= values.min()
        assert most >= values.max()
        if image.get_cmap().name == "RdBu_r":
            assert least == -most
            assert values.min() < 0 < values.max()
        else:
            assert 0 in (least, most)


@pytest.mark.parametrize("sizes", [(1, D_MODEL), (LENGTH, 1)])
def test_a_picture_of_nothing_is_refused(sizes):
    with pytest.raises(ValueError, match=f"length {sizes[0]} and d_model {sizes[1]} must be"):
        plot_positions(*sizes)
