import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flax_transformer.data.image_files import read_images
from flax_transformer.errors import UserError

GREYS = [0, 40, 80, 120, 160, 200, 240]
SIZE = (16, 16)


def images() -> list[Image.Image]:
    return [Image.new("L", SIZE, grey) for grey in GREYS]


def save_folder(path):
    path.mkdir()
    for number, image in enumerate(images()):
        image.save(path / f"{number}.png")
    (path / "notes.txt").touch()


def save_frames(path):
    first, *rest = images()
    options: Any = {"lossless": True} if path.suffix == ".webp" else {}
    first.save(path, save_all=True, append_images=rest, **options)


def save_film(path):
    av = pytest.importorskip("av", reason="PyAV is not installed")
    with av.open(str(path), "w") as film:
        stream = film.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for image in images():
            film.mux(stream.encode(av.VideoFrame.from_image(image.convert("RGB"))))
        film.mux(stream.encode())


SAVE = {
    "clip": save_folder,
    "clip.gif": save_frames,
    "clip.png": save_frames,
    "clip.webp": save_frames,
    "clip.mp4": save_film,
    "clip.AVI": save_film,
    "clip.mov": save_film,
}


@pytest.mark.parametrize("name", SAVE)
@pytest.mark.parametrize(
    ("number", "chosen"), [(7, range(7)), (3, (0, 3, 6)), (1, (0,)), (13, np.arange(13) / 2)]
)
def test_frames_are_taken_evenly(tmp_path, name, number, chosen):
    SAVE[name](tmp_path / name)
    (video,) = read_images([tmp_path / name], (number, 5, 5, 3))
    expected = [GREYS[round(index)] for index in chosen]
    assert video.shape == (number, 5, 5, 3)
    lossy = 4 if name.lower().endswith((".mp4", ".avi", ".mov")) else 0
    assert np.abs(video.astype(int) - np.reshape(expected, (-1, 1, 1, 1))).max() <= lossy


def test_an_image_of_several_frames_is_its_first(tmp_path):
    save_frames(tmp_path / "clip.gif")
    assert read_images([tmp_path / "clip.gif"], (5, 5, 1)).max() == GREYS[0]


def test_a_still_image_is_a_video_that_stands(tmp_path):
    Image.new("L", SIZE, 97).save(tmp_path / "a.png")
    assert np.unique(read_images([tmp_path / "a.png"], (3, 5, 5, 1))).tolist() == [97]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.gif", b"GIF89a", r"cannot read .*a\.gif \(.*\): give a video"),
        ("a.mp4", b"no film", r"cannot read .*a\.mp4 \(.*\): give a video"),
        ("a.txt", b"text", r"cannot read .*a\.txt \(.*\): give a video"),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path, name, content, message):
    if name == "a.mp4":
        pytest.importorskip("av", reason="PyAV is not installed")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        read_images([tmp_path / name], (2, 5, 5, 1))
    assert "\n" not in str(error.value)


def test_what_is_not_there_and_an_empty_folder_are_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*none\.gif \(.*No such file"):
        read_images([tmp_path / "none.gif"], (2, 5, 5, 1))
    with pytest.raises(UserError, match=r"cannot read .* \(no frame in it\): give a video"):
        read_images([tmp_path], (2, 5, 5, 1))


def test_a_film_without_its_reader_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"PyAV, which is not installed: give pip install"):
        read_images([tmp_path / "a.mp4"], (2, 5, 5, 1))
