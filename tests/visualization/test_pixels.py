import numpy as np
import pytest

from flax_transformer.errors import UserError
from flax_transformer.visualization.given_arrays import check_picture

IMAGE = np.zeros((6, 10, 3))
VIDEO = np.zeros((4, 6, 10, 3))


def test_an_image_is_a_video_of_one_frame():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, IMAGE.shape)
    picture = check_picture(image, None, (3, 2), 7)
    assert picture is not None
    header, pixels = picture
    assert header == {"patches": (1, 3, 2), "first": 1}
    np.testing.assert_array_equal(pixels, image[None])
    fractions = check_picture(image / 255, None, (3, 2), 7)
    assert fractions is not None
    np.testing.assert_array_equal(fractions[1], pixels)


def test_patches_of_a_video_may_span_frames():
    picture = check_picture(None, VIDEO, (2, 3, 5), 31)
    assert picture is not None
    assert (picture[0]["patches"], picture[0]["first"]) == ((2, 3, 5), 1)


def test_a_photo_may_have_any_number_of_pixels_for_a_patch():
    picture = check_picture(np.zeros((7, 11, 3)), None, (3, 2), 7)
    assert picture is not None
    assert picture[1].shape == (1, 7, 11, 3)


def test_no_picture_is_none():
    assert check_picture(None, None, None, 7) is None


@pytest.mark.parametrize(
    ("image", "video", "patches", "message"),
    [
        (None, None, (3, 2), r"\(3, 2\) are of no picture"),
        (IMAGE, VIDEO, (3, 2), "both given"),
        (IMAGE[..., :2], None, (3, 2), r"\[6, 10, 2\] is not \[height, width, 3\]"),
        (None, IMAGE, (1, 3, 2), r"\[6, 10, 3\] is not \[time, height, width, 3\]"),
        (IMAGE, None, None, r"None of the image are not \(rows, columns\)"),
        (IMAGE, None, (0, 2), r"\(0, 2\)"),
        (None, VIDEO, (3, 2), r"\(3, 2\) of the video are not \(times, rows, columns\)"),
        (IMAGE, None, (6, 5), "30 patches are more than the 7 tokens"),
        (None, VIDEO, (3, 1, 1), "time of 4 is not a multiple of 3"),
        (IMAGE + 2, None, (3, 2), "holds 2.0"),
        (IMAGE * np.nan, None, (3, 2), "holds nan"),
        (IMAGE.astype(int) - 3, None, (3, 2), "holds -3"),
    ],
)
def test_what_does_not_fit_is_refused(image, video, patches, message):
    with pytest.raises(UserError, match=message) as error:
        check_picture(image, video, patches, 7)
    assert "\n" not in str(error.value)
