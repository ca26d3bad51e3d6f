import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from reference import assert_close

from flax_transformer.functional import SCHEMES
from flax_transformer.visualization.position_pictures import (
    plot_by_length,
    plot_positions,
    plot_scheme,
)

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


def test_two_colors_meet_at_zero_and_one_ramp_begins_or_ends_there(panels):
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


@pytest.mark.parametrize("name", ["sinusoidal", "rotary", "alibi"])
def test_one_scheme_is_drawn_as_among_all(panels, name):
    figure = plot_scheme(SCHEMES[name], LENGTH, D_MODEL)
    alone = [axes for axes in figure.axes if axes.images]
    for axes, among in zip(alone, panels[name], strict=True):
        np.testing.assert_array_equal(matrix(axes), matrix(among))
        assert axes.get_title() == among.get_title()


@pytest.mark.parametrize("sizes", [(1, D_MODEL), (LENGTH, 1)])
@pytest.mark.parametrize(
    "plot", [plot_positions, lambda *sizes: plot_scheme(SCHEMES["t5"], *sizes)]
)
def test_a_picture_of_nothing_is_refused(plot, sizes):
    with pytest.raises(ValueError, match=f"length {sizes[0]} and d_model {sizes[1]} must be"):
        plot(*sizes)


def test_sentences_of_several_lengths_lie_on_each_other_where_lengths_do_not_count():
    lengths = [3, LENGTH, 7]
    figure = plot_by_length({name: SCHEMES[name] for name in ("number", "scaled")}, lengths)
    for axes, scale in zip(figure.axes, (lambda _: 1, lambda length: length - 1), strict=True):
        lines = axes.get_lines()
        assert [line.get_label() for line in lines] == [
            f"sentence of {length}" for length in (LENGTH, 7, 3)
        ]
        for line, length in zip(lines, (LENGTH, 7, 3), strict=True):
            np.testing.assert_allclose(
                np.asarray(line.get_ydata()), np.arange(length) / scale(length), rtol=1e-6
            )
        widths = [line.get_linewidth() for line in lines]
        assert widths[0] > widths[1] > widths[2]


@pytest.mark.parametrize(
    ("names", "lengths", "message"),
    [
        (["number"], [], "nothing to draw"),
        (["number"], [1], "nothing to draw"),
        ([], [3], "0 schemes"),
        (["alibi"], [3], "alibi adds nothing to embeddings"),
    ],
)
def test_what_has_no_line_is_refused(names, lengths, message):
    with pytest.raises(ValueError, match=message):
        plot_by_length({name: SCHEMES[name] for name in names}, lengths)
