import numpy as np
import pytest
from PIL import Image

from flax_transformer.data.image_files import fit, read_images
from flax_transformer.errors import UserError


def test_paths_and_arrays_keep_their_order(tmp_path):
    Image.new("L", (11, 11), 23).save(tmp_path / "a.png")
    array = np.full((3, 5, 1), 47, np.uint8)
    read = read_images([array, str(tmp_path / "a.png"), tmp_path / "a.png"], (3, 5, 1))
    assert read.shape == (3, 3, 5, 1)
    assert read.max(axis=(1, 2, 3)).tolist() == read.min(axis=(1, 2, 3)).tolist() == [47, 23, 23]


def test_colours_become_what_the_model_reads(tmp_path):
    Image.new("RGBA", (5, 5), (200, 100, 0, 255)).save(tmp_path / "a.png")
    assert read_images([tmp_path / "a.png"], (2, 2, 3))[0, 0, 0].tolist() == [200, 100, 0]
    grey = round(0.299 * 200 + 0.587 * 100)
    assert read_images([tmp_path / "a.png"], (2, 2, 1))[0, 0, 0].tolist() == [grey]


def test_the_middle_of_the_wanted_proportions_is_kept():
    pixels = np.zeros((6, 12), np.uint8)
    pixels[:, 3:9] = 255
    assert fit(Image.fromarray(pixels), 6, 6, 1).min() == 255
    assert fit(Image.fromarray(pixels), 6, 12, 1).min() == 0


def test_nothing_is_an_empty_array():
    assert read_images([], (3, 5, 1)).shape == (0, 3, 5, 1)


@pytest.mark.parametrize(
    "array", [np.zeros((5, 3, 1), np.uint8), np.zeros((3, 5, 1), np.float32), 7]
)
def test_an_array_of_another_shape_or_type_is_refused(array):
    with pytest.raises(UserError, match=r"but the model reads \(3, 5, 1\) of uint8: resize it"):
        read_images([array], (3, 5, 1))


def test_a_file_that_is_no_image_is_named(tmp_path):
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(UserError, match=r"cannot read .*a\.png \(.*\): give an image"):
        read_images([tmp_path / "a.png"], (3, 5, 1))
