import numpy as np
import pytest

from flax_transformer.visualization.matrices import plot_matrices

ROWS, COLUMNS = 5, 3
SMALL = np.random.default_rng(0).normal(size=(ROWS, COLUMNS))
NAMES = ["a", " the", "", "b", "c"]


def panels(figure):
    """The axes of the matrices, without those of the scales beside them."""
    return [axes for axes in figure.axes if axes.images]


def names(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_all_matrices_are_drawn_on_the_scale_of_the_largest_value():
    figure = plot_matrices({"small": SMALL, "large": 7 * SMALL})
    most = np.abs(7 * SMALL).max()
    for axes, matrix, title in zip(
        panels(figure), (SMALL, 7 * SMALL), ("small", "large"), strict=True
    ):
        (image,) = axes.images
        np.testing.assert_array_equal(image.get_array(), matrix)
        assert image.get_clim() == (-most, most)
        assert (axes.get_title(), axes.get_ylabel(), axes.get_xlabel()) == (title, "row", "feature")


def test_rows_and_columns_have_their_names():
    figure = plot_matrices({"one": SMALL, "other": SMALL}, NAMES, ["x", "y", "z"])
    for axes in panels(figure):
        assert names(axes.yaxis) == ["a", "␣the", "∅", "b", "c"]
        assert names(axes.xaxis) == ["x", "y", "z"]
        assert (axes.get_ylabel(), axes.get_xlabel()) == ("", "")


def test_places_are_whole_numbers():
    figure = plot_matrices({"narrow": SMALL[:, :2]})
    figure.draw_without_rendering()
    (axes,) = panels(figure)
    for axis in (axes.xaxis, axes.yaxis):
        assert all(place == round(place) for place in axis.get_ticklocs())


@pytest.mark.parametrize(
    ("matrices", "options", "message"),
    [
        ({}, {}, "at least one matrix"),
        ({"flat": SMALL[0]}, {}, r"flat \(3,\) must be a matrix of 3 rows"),
        ({"none": SMALL[:0]}, {}, r"none \(0, 3\) must be"),
        ({"a": SMALL, "b": SMALL[:2]}, {}, r"b \(2, 3\) must be a matrix of 5 rows"),
        ({"a": SMALL}, {"row_names": ["x"]}, r"a \(5, 3\) must be a matrix of 1 rows"),
        ({"a": SMALL}, {"columns": ["x"]}, r"a \(5, 3\) must have 1 columns"),
    ],
)
def test_what_does_not_fit_is_refused(matrices, options, message, unchecked_types):
    with pytest.raises(ValueError, match=message):
        plot_matrices(matrices, **options)
