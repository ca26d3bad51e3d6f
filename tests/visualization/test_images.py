import jax.numpy as jnp
import numpy as np
import pytest

from flax_transformer.errors import UserError
from flax_transformer.functional import split_patches
from flax_transformer.visualization.images import plot_images

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (5, 3, 7, 1), dtype=np.uint8)


def drawn(figure):
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes]


def places(figure):
    """Row and column of every image."""
    spots = [axes.get_subplotspec() for axes in figure.axes]
    return [(spot.rowspan.start, spot.colspan.start) for spot in spots]


def test_images_stand_row_by_row_with_their_names():
    figure = plot_images(GRAY, ["a", "b", "c", "d", "e"], columns=2)
    np.testing.assert_array_equal(drawn(figure), GRAY[..., 0])
    assert places(figure) == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]
    assert [axes.get_title() for axes in figure.axes] == ["a", "b", "c", "d", "e"]


def test_black_and_white_are_the_same_in_all_images():
    faint = np.array([[[[0.25]]], [[[0.5]]]])
    figure = plot_images(faint)
    assert [image.item() for image in drawn(figure)] == [64, 128]
    assert {axes.images[0].get_clim() for axes in figure.axes} == {(0, 255)}


def test_images_have_colors():
    colors = RNG.integers(0, 256, (2, 3, 5, 3))
    np.testing.assert_array_equal(drawn(plot_images(jnp.array(colors))), colors)


def test_patches_of_an_image_stand_where_they_were_cut_out():
    image = GRAY[0, :, :6]
    figure = plot_images(split_patches(jnp.array(image), (1, 2)).reshape(9, 1, 2, 1), columns=3)
    rows = np.array(drawn(figure)).reshape(3, 3, 1, 2)
    joined = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
    np.testing.assert_array_equal(joined, image[..., 0])
    assert places(figure) == [(row, column) for row in range(3) for column in range(3)]


@pytest.mark.parametrize(
    ("images", "options", "error", "message"),
    [
        (GRAY[0], {}, ValueError, r"images \(3, 7, 1\) must be"),
        (GRAY[:0], {}, ValueError, r"images \(0, 3, 7, 1\) must be"),
        (GRAY.repeat(2, axis=-1), {}, ValueError, r"images \(5, 3, 7, 2\) must be"),
        (GRAY, {"names": ["a"]}, ValueError, "1 names for 5 images"),
        (GRAY, {"columns": 0}, ValueError, "columns 0 must be"),
        (GRAY / 100 + 1, {}, UserError, "images holds"),
    ],
)
def test_what_is_no_row_of_images_is_refused(images, options, error, message, unchecked_types):
    with pytest.raises(error, match=message):
        plot_images(images, **options)
