from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from films_of_tests import save_film, turn
from PIL import Image

from flax_transformer.data.files import films
from flax_transformer.data.files.clips import even_frames
from flax_transformer.data.files.films import evenly
from flax_transformer.data.files.image_files import read_images
from flax_transformer.errors import UserError

LOSSY = 6


def grays(values, size=(32, 16)) -> list[Image.Image]:
    return [Image.new("L", size, int(value)) for value in values]


def corners() -> Image.Image:
    """Four quarters of 0, 80 / 160, 240."""
    return Image.fromarray(np.array([[0, 80], [160, 240]], np.uint8)).resize(
        (64, 32), Image.Resampling.NEAREST
    )


def levels(path: Path, number: int) -> list[int]:
    return read_images([path], (number, 2, 2, 1))[0, :, 0, 0, 0].tolist()


# By how much a player turns the pictures, clockwise, or what it mirrors.
TURNS = {
    "none": ((1, 0, 0, 1), [[0, 80], [160, 240]]),
    "90": ((0, 1, -1, 0), [[160, 0], [240, 80]]),
    "180": ((-1, 0, 0, -1), [[240, 160], [80, 0]]),
    "270": ((0, -1, 1, 0), [[80, 240], [0, 160]]),
    "mirrored": ((-1, 0, 0, 1), [[80, 0], [240, 160]]),
    "upside down": ((1, 0, 0, -1), [[160, 240], [0, 80]]),
    "transposed": ((0, 1, 1, 0), [[0, 160], [80, 240]]),
}


@pytest.mark.parametrize("name", TURNS)
def test_a_film_is_turned_as_its_matrix_says(tmp_path, name):
    matrix, expected = TURNS[name]
    save_film(tmp_path / "a.mp4", [corners()] * 2)
    turn(tmp_path / "a.mp4", *matrix)
    is_upright = matrix[0] == 0
    for image in (
        *even_frames(tmp_path / "a.mp4", 1, (2, 2)),
        *even_frames(tmp_path / "a.mp4", 2, (2, 2)),
    ):
        assert image.size == ((32, 64) if is_upright else (64, 32))
        width, height = image.size
        found = [
            [image.convert("L").getpixel((x, y)) for x in (width // 4, 3 * width // 4)]
            for y in (height // 4, 3 * height // 4)
        ]
        assert np.abs(np.array(found) - expected).max() <= LOSSY


@pytest.mark.parametrize(
    ("aspect", "size"), [(Fraction(2), (64, 16)), (Fraction(1, 2), (16, 16)), (None, (32, 16))]
)
def test_pixels_that_are_not_square_become_square(tmp_path, aspect, size):
    save_film(tmp_path / "a.mp4", grays([90]), aspect=aspect)
    assert even_frames(tmp_path / "a.mp4", 1, (2, 2))[0].size == size


def test_the_shape_of_pixels_is_that_before_turning(tmp_path):
    save_film(tmp_path / "a.mp4", grays([90]), aspect=Fraction(2))
    turn(tmp_path / "a.mp4", 0, 1, -1, 0)
    assert even_frames(tmp_path / "a.mp4", 1, (2, 2))[0].size == (16, 64)


def test_frames_are_evenly_spaced_in_time_not_by_their_numbers(tmp_path):
    # Thirty frames in the first second, then one a second; the gray value is the time.
    times = [*np.arange(30) / 30, *range(1, 8)]
    save_film(tmp_path / "a.mp4", grays(np.array(times) * 32), times=times)
    assert np.abs(np.subtract(levels(tmp_path / "a.mp4", 8), np.arange(8) * 32)).max() <= LOSSY
    assert np.abs(np.subtract(levels(tmp_path / "a.mp4", 3), [0, 112, 224])).max() <= 16 + LOSSY


CODECS = {
    **dict.fromkeys(["mpg", "mpeg", "vob"], "mpeg2video"),
    **dict.fromkeys(["ts", "m2ts", "MTS", "mkv", "avi", "mov", "m4v", "3gp"], "mpeg4"),
    "flv": "flv1",
    "wmv": "wmv2",
    "webm": "libvpx",
}


@pytest.mark.parametrize("ending", CODECS)
def test_films_of_every_kind_are_read(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    save_film(path, grays(np.arange(13) * 20), codec=CODECS[ending])
    assert np.abs(np.subtract(levels(path, 4), [0, 80, 160, 240])).max() <= LOSSY
    assert levels(path, 1)[0] <= LOSSY


def test_frames_are_chosen_by_the_nearest_time():
    times = [0, 10, 20, 30, 40, 1000]
    assert evenly(times, 2) == [0, 5]
    assert evenly(times, 3) == [0, 4, 5]
    assert evenly(times, 1) == [0]
    assert evenly([5, 5, 5], 2) == [0, 2]  # no time passes
    assert evenly([7], 3) == [0, 0, 0]


def test_what_is_transparent_in_a_film_shows_the_background(tmp_path):
    frames = [Image.new("RGBA", (16, 16), (0, 0, 0, alpha)) for alpha in (0, 255)]
    save_film(tmp_path / "a.mov", frames, codec="png", pixels="rgba")
    for background, behind in (("white", 255), ("black", 0)):
        read = read_images([tmp_path / "a.mov"], (2, 2, 2, 1), background)
        assert read[0, :, 0, 0, 0].tolist() == [behind, 0]


def test_a_film_without_pictures_is_named(tmp_path):
    av: Any = pytest.importorskip("av", reason="PyAV is not installed")
    with av.open(str(tmp_path / "a.mp4"), "w") as film:
        stream = film.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 8000
        film.mux(stream.encode(frame))
        film.mux(stream.encode())
    with pytest.raises(UserError, match=r"cannot read .*a\.mp4 \(no pictures in it\): give a"):
        read_images([tmp_path / "a.mp4"], (2, 2, 2, 1))


def test_a_film_without_frames_is_named(tmp_path):
    save_film(tmp_path / "a.mkv", grays([90]))
    contents = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "a.mkv").write_bytes(contents[: contents.index(b"\x1f\x43\xb6\x75")])
    for shape in ((2, 2, 2, 1), (2, 2, 1)):
        with pytest.raises(UserError, match=r"cannot read .*a\.mkv \(.+\): give a") as error:
            read_images([tmp_path / "a.mkv"], shape)
        assert "\n" not in str(error.value)


def cut(path: Path, share: float) -> None:
    contents = path.read_bytes()
    path.write_bytes(contents[: int(share * len(contents))])


def noisy(number: int) -> list[Image.Image]:
    """Bright frames after dark ones, of about the same size in bytes."""
    rng = np.random.default_rng(0)
    return [
        Image.fromarray(rng.integers(0, 60, (64, 64), np.uint8) + np.uint8(level))
        for level in np.linspace(0, 180, number)
    ]


@pytest.mark.parametrize("ending", ["mkv", "avi", "webm"])
def test_a_film_that_was_cut_is_refused_or_read_as_far_as_it_goes(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    save_film(path, noisy(30), codec="libvpx" if ending == "webm" else "mpeg4")
    whole = read_images([path], (3, 2, 2, 1))[0, :, 0, 0, 0].astype(int)
    cut(path, 0.55)
    with pytest.raises(UserError, match=rf"a\.{ending} \(it ends after .* s of .* s\)"):
        read_images([path], (3, 2, 2, 1))
    damages: list[str] = []
    frames = even_frames(path, 3, (2, 2), damages)
    means = [np.asarray(frame.convert("L")).mean() for frame in frames]
    assert len(damages) == 1
    assert means[0] < means[1] < means[2] < np.asarray(whole).max()
    assert np.abs(means[0] - 30) < 12


def test_frames_that_decode_are_read_of_a_film_with_a_hole(tmp_path):
    path = tmp_path / "a.mp4"
    save_film(path, noisy(40))
    contents = bytearray(path.read_bytes())
    start = contents.index(b"mdat") + 4
    middle = (start + contents.index(b"moov")) // 2
    hole = (middle - start) // 4
    contents[middle : middle + hole] = bytes(hole)
    path.write_bytes(contents)
    with pytest.raises(UserError, match=r"a\.mp4 \(Invalid data"):
        read_images([path], (4, 2, 2, 1))
    damages: list[str] = []
    frames = even_frames(path, 4, (2, 2), damages)
    means = [np.asarray(frame.convert("L")).mean() for frame in frames]
    assert damages
    np.testing.assert_allclose(means[::3], [30, 210], atol=15)


def test_only_wanted_frames_become_images(tmp_path, monkeypatch):
    save_film(tmp_path / "a.mp4", grays(np.arange(60) * 4))
    made = []
    shown = films._shown
    monkeypatch.setattr(films, "_shown", lambda *frame: made.append(frame) or shown(*frame))
    assert len(levels(tmp_path / "a.mp4", 3)) == 3
    assert len(made) == 3
