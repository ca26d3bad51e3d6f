import numpy as np
import pytest
from PIL import Image

from flax_transformer.data.files.image_files import fit, read_images, read_large
from flax_transformer.errors import UserError


def test_paths_and_arrays_keep_their_order(tmp_path):
    Image.new("L", (11, 11), 23).save(tmp_path / "a.png")
    array = np.full((3, 5, 1), 47, np.uint8)
    read = read_images([array, str(tmp_path / "a.png"), tmp_path / "a.png"], (3, 5, 1))
    assert read.shape == (3, 3, 5, 1)
    assert read.max(axis=(1, 2, 3)).tolist() == read.min(axis=(1, 2, 3)).tolist() == [47, 23, 23]


def test_colors_become_what_the_model_reads(tmp_path):
    Image.new("RGBA", (5, 5), (200, 100, 0, 255)).save(tmp_path / "a.png")
    assert read_images([tmp_path / "a.png"], (2, 2, 3))[0, 0, 0].tolist() == [200, 100, 0]
    gray = round(0.299 * 200 + 0.587 * 100)
    assert read_images([tmp_path / "a.png"], (2, 2, 1))[0, 0, 0].tolist() == [gray]


def test_the_middle_of_the_wanted_proportions_is_kept():
    pixels = np.zeros((6, 12), np.uint8)
    pixels[:, 3:9] = 255
    assert fit(Image.fromarray(pixels), 6, 6, 1).min() == 255
    assert fit(Image.fromarray(pixels), 6, 12, 1).min() == 0


def test_nothing_is_an_empty_array():
    assert read_images([], (3, 5, 1)).shape == (0, 3, 5, 1)


RAMP = np.arange(60, dtype=np.uint8).reshape(6, 10)


@pytest.mark.parametrize("channels", [None, 1, 3])
def test_arrays_of_another_size_are_fitted_as_files_are(tmp_path, channels):
    Image.fromarray(RAMP).save(tmp_path / "a.png")
    array = RAMP if channels is None else np.repeat(RAMP[..., None], channels, axis=-1)
    found, expected = read_images([array, tmp_path / "a.png"], (3, 5, 3))
    np.testing.assert_array_equal(found, expected)


def test_arrays_with_an_alpha_channel_show_the_background():
    array = np.zeros((4, 4, 4), np.uint8)
    array[:2, :, 3] = 255
    read = read_images([array], (4, 4, 1), "white")
    assert read[0, :, 0, 0].tolist() == [0, 0, 255, 255]


def test_arrays_of_16_bits_are_divided_by_257():
    assert read_images([np.full((2, 2), 257 * 9, np.uint16)], (1, 1, 1)).item() == 9


def test_images_of_pillow_are_fitted_as_files_are(tmp_path):
    image = Image.fromarray(RAMP)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as opened:
        of_image, of_file, plain = read_images([opened, tmp_path / "a.png", image], (3, 3, 1))
    np.testing.assert_array_equal(of_image, of_file)
    assert (plain != of_image).any()


def test_one_input_in_no_list_is_one(tmp_path):
    image = Image.fromarray(RAMP)
    image.save(tmp_path / "a.png")
    expected = read_images([RAMP], (3, 5, 1))
    for one in (str(tmp_path / "a.png"), tmp_path / "a.png", image, RAMP, RAMP[..., None]):
        np.testing.assert_array_equal(read_images(one, (3, 5, 1)), expected)
    for several in (RAMP[None], RAMP[None, ..., None], [RAMP]):
        np.testing.assert_array_equal(read_images(several, (3, 5, 1)), expected)


def test_videos_given_as_arrays_or_images_are_fitted_as_files_are(tmp_path):
    frames = np.stack([RAMP, RAMP + 60, RAMP + 120])
    images = [Image.fromarray(frame) for frame in frames]
    images[0].save(tmp_path / "a.png", save_all=True, append_images=images[1:])
    shape = (2, 3, 5, 1)
    expected = read_images([tmp_path / "a.png"], shape)
    with Image.open(tmp_path / "a.png") as opened:
        for one in (opened, frames, frames[..., None]):
            np.testing.assert_array_equal(read_images(one, shape), expected)
        np.testing.assert_array_equal(read_images([opened, images], shape), [expected[0]] * 2)
    still = read_images([RAMP], shape)
    np.testing.assert_array_equal(still[:, 0], still[:, 1])


def test_an_animation_of_pillow_is_spaced_in_time_as_its_file_is(tmp_path):
    images = [Image.new("L", (4, 4), 50 * number) for number in range(4)]
    path = tmp_path / "a.gif"
    images[0].save(path, save_all=True, append_images=images[1:], duration=[100, 100, 1000, 100])
    with Image.open(path) as opened:
        of_image, of_file = read_images([opened, path], (4, 2, 2, 1))
    assert of_file[:, 0, 0, 0].tolist() == [0, 100, 150, 150]
    np.testing.assert_array_equal(of_image, of_file)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (np.zeros((3, 5, 1), np.float32), r"an array \(3, 5, 1\) of float32"),
        (np.zeros((3, 5), bool), r"an array \(3, 5\) of bool"),
        (np.zeros((3, 5, 2), np.uint8), r"an array \(3, 5, 2\) of uint8"),
        (np.zeros((2, 3, 5, 3), np.uint8), r"an array \(2, 3, 5, 3\) of uint8"),
        (np.zeros((0, 5), np.uint8), r"an array \(0, 5\) of uint8"),
        (7, "7"),
        (None, "None"),
    ],
)
def test_what_is_not_an_image_is_refused_in_one_line(value, told):
    match = rf"cannot read {told} as an image: give \[height, width\] .* of uint8, 0 to 255"
    with pytest.raises(UserError, match=match) as error:
        read_images([value], (3, 5, 1))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [np.zeros((2, 3, 5, 1)), np.zeros((2, 3, 5, 2), np.uint8), 7, []])
def test_what_is_not_a_video_is_refused_in_one_line(value):
    with pytest.raises(UserError, match=r"cannot read .* as a video: [^\n]*$"):
        read_images([value], (2, 3, 5, 1))


def test_a_film_is_not_one_image(tmp_path):
    (tmp_path / "a.mp4").touch()
    with pytest.raises(UserError, match=r"a.mp4 \(it is a film\): give an image"):
        read_images([tmp_path / "a.mp4"], (3, 5, 1))


def test_a_folder_is_not_one_image(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "a.png")
    with pytest.raises(
        UserError, match=r"\(it is a folder: give the images in it\): give an image"
    ):
        read_images([tmp_path], (3, 5, 1))


def test_a_file_that_is_no_image_is_named(tmp_path):
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(UserError, match=r"cannot read .*a\.png \(.*\): give an image"):
        read_images([tmp_path / "a.png"], (3, 5, 1))


@pytest.mark.parametrize(
    ("size", "longest_side", "expected"),
    [
        ((90, 50), 1000, (50, 62)),  # (width, height) of the file, (height, width) of the result
        ((90, 53), 30, (24, 30)),
        ((90, 50), 3, (4, 5)),
        ((3, 2), 1000, (4, 5)),
    ],
)
def test_the_original_is_shown_with_its_pixels_and_the_crop_of_the_model(
    tmp_path, size, longest_side, expected
):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for value in (pixels, str(tmp_path / "a.png")):
        found = read_large(value, (4, 5, 1), longest_side)
        assert found.shape == (*expected, 3)
    np.testing.assert_array_equal(found, fit(Image.fromarray(pixels), expected[0], expected[1], 3))


def test_the_frames_of_a_video_are_shown_with_their_pixels():
    video = np.random.default_rng(0).integers(0, 256, (7, 8, 10), np.uint8)
    found = read_large(video, (7, 4, 5, 1), 1000)
    np.testing.assert_array_equal(found, np.repeat(video[..., None], 3, axis=-1))
