import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, ImageOps

from flax_transformer.data.files.clips import (
    even_frames,
    first_frame,
    image_endings,
    is_clip,
    is_film,
)
from flax_transformer.data.files.image_files import fit, read_images
from flax_transformer.errors import UserError

GRAYS = [0, 40, 80, 120, 160, 200, 240]
SIZE = (16, 16)


def images() -> list[Image.Image]:
    return [Image.new("L", SIZE, gray) for gray in GRAYS]


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
    expected = [GRAYS[round(index)] for index in chosen]
    assert video.shape == (number, 5, 5, 3)
    lossy = 4 if name.lower().endswith((".mp4", ".avi", ".mov")) else 0
    assert np.abs(video.astype(int) - np.reshape(expected, (-1, 1, 1, 1))).max() <= lossy


def test_an_image_of_several_frames_is_its_first(tmp_path):
    save_frames(tmp_path / "clip.gif")
    assert read_images([tmp_path / "clip.gif"], (5, 5, 1)).max() == GRAYS[0]


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
    with pytest.raises(UserError, match=r"PyAV, which is not installed: run pip install"):
        read_images([tmp_path / "a.mp4"], (2, 5, 5, 1))


def test_frames_in_a_folder_are_in_natural_order(tmp_path):
    for number in range(1, 13):
        Image.new("L", SIZE, 10 * number).save(tmp_path / f"{number}.png")
    (tmp_path / "._1.png").write_bytes(b"twin")
    (video,) = read_images([tmp_path], (12, 2, 2, 1))
    assert video[:, 0, 0, 0].tolist() == list(range(10, 130, 10))


def test_frames_in_a_folder_are_upright(tmp_path):
    pixels = np.array([[0, 80], [160, 240]], np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in "ab":
        Image.fromarray(pixels).save(tmp_path / f"{name}.png", exif=exif)
    (video,) = read_images([tmp_path], (2, 2, 2, 1))
    np.testing.assert_array_equal(video[..., 0], [[[160, 0], [240, 80]]] * 2)


@pytest.mark.parametrize("ending", ["gif", "png", "webp"])
def test_frames_are_evenly_spaced_in_time_where_a_file_says_how_long_each_is_shown(
    tmp_path, ending
):
    first, *rest = [Image.new("L", SIZE, gray) for gray in range(0, 240, 20)]
    options: Any = {"lossless": True} if ending == "webp" else {}
    # Ten frames in the first second, then one for four seconds.
    durations = [100] * 10 + [4000, 100]
    path = tmp_path / f"a.{ending}"
    first.save(path, save_all=True, append_images=rest, duration=durations, **options)
    (video,) = read_images([path], (6, 2, 2, 1))
    assert video[:, 0, 0, 0].tolist() == [0, 200, 200, 200, 220, 220]


def test_a_stack_of_pages_is_read_evenly(tmp_path):
    first, *rest = images()
    first.save(tmp_path / "a.tif", save_all=True, append_images=rest)
    (video,) = read_images([tmp_path / "a.tif"], (4, 2, 2, 1))
    assert video[:, 0, 0, 0].tolist() == [GRAYS[index] for index in (0, 2, 4, 6)]


def test_what_can_be_read_of_a_damaged_clip_is_used_where_that_is_asked_for(tmp_path):
    rng = np.random.default_rng(0)
    first, *rest = [
        Image.fromarray(rng.integers(0, 60, (64, 64), np.uint8) + np.uint8(20 * level))
        for level in range(8)
    ]
    path = tmp_path / "a.gif"
    first.save(path, save_all=True, append_images=rest)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 5 // 8])
    with pytest.raises(UserError, match=r"cannot read .*a\.gif \("):
        read_images([path], (3, 2, 2, 1))
    damages: list[str] = []
    means = [
        np.asarray(frame.convert("L")).mean() for frame in even_frames(path, 3, (2, 2), damages)
    ]
    assert len(damages) == 1
    np.testing.assert_allclose(means, [30, 70, 110], atol=25)


def test_frames_that_can_be_read_of_a_folder_are_used_where_that_is_asked_for(tmp_path):
    for number in range(5):
        Image.new("L", SIZE, 50 * number).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_text("<html>")
    with pytest.raises(UserError, match=r"cannot read .* \(2\.png: it is empty or not an image"):
        read_images([tmp_path], (3, 2, 2, 1))
    damages: list[str] = []
    frames = even_frames(tmp_path, 3, (2, 2), damages)
    assert [frame.getpixel((0, 0)) for frame in frames] == [0, 150, 200]
    assert damages == ["2.png: it is empty or not an image that Pillow knows"]
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="no frame in it"):
        even_frames(tmp_path, 4, (2, 2), damages)


def test_a_folder_is_a_clip_if_it_holds_images_that_do_not_move(tmp_path):
    save_folder(tmp_path / "frames")
    (tmp_path / "clips").mkdir()
    save_frames(tmp_path / "clips" / "1.gif")
    (tmp_path / "films").mkdir()
    Image.new("L", SIZE).save(tmp_path / "films" / "cover.jpg")
    (tmp_path / "films" / "a.mp4").touch()
    (tmp_path / "nothing").mkdir()
    assert is_clip(tmp_path / "frames")
    for name in ("clips", "films", "nothing"):
        assert not is_clip(tmp_path / name)
    with pytest.raises(UserError, match=r"clips \(it holds several clips\): give a video"):
        read_images([tmp_path / "clips"], (2, 2, 2, 1))


def test_every_ending_that_pillow_and_pyav_read_is_known():
    assert {".jpg", ".tif", ".avif", ".jp2", ".pgm", ".tga", ".jfif"} <= image_endings()
    # Formats that Pillow recognizes but cannot read, and PostScript, whose code it would run.
    assert not {".mpg", ".eps", ".ps", ".h5", ".wmf", ".pdf"} & image_endings()
    films = [
        ".mpg",
        ".mpeg",
        ".wmv",
        ".flv",
        ".3gp",
        ".ts",
        ".mts",
        ".m2ts",
        ".ogv",
        ".vob",
        ".MOV",
    ]
    assert all(is_film(Path(f"a{ending}")) for ending in films)


def test_a_program_in_postscript_is_not_run_whatever_its_ending(tmp_path, monkeypatch):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.eps")
    path = (tmp_path / "a.eps").rename(tmp_path / "a.png")
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("it was run"))
    for shape in ((2, 2, 3), (2, 2, 2, 3)):
        with pytest.raises(UserError, match=r"a\.png \(it is empty or not an image that Pillow"):
            read_images([path], shape)


def jpeg(path: Path, size: tuple[int, int], orientation: int = 1) -> Image.Image:
    """A smooth image with an edge at a place that every scale must keep."""
    across, down = np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1])
    red = 255 * np.outer(down, across)
    green = np.where(across > 0.4, 230.0, 20.0) * np.ones((size[1], 1))
    image = Image.fromarray(np.stack([red, green, 255 - red], axis=-1).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, quality=95, exif=exif)
    return image


@pytest.mark.parametrize(
    "size", [(1600, 1200), (1200, 1600), (1601, 1199), (1608, 1204), (300, 90)]
)
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("shape", [(64, 64, 3), (32, 96, 3), (64, 64, 1), (500, 500, 3)])
def test_a_jpeg_decoded_with_fewer_pixels_is_the_same_crop(tmp_path, size, orientation, shape):
    jpeg(tmp_path / "a.jpg", size, orientation)
    with Image.open(tmp_path / "a.jpg") as image:
        expected = fit(ImageOps.exif_transpose(image), *shape)
    (read,) = read_images([tmp_path / "a.jpg"], shape)
    difference = np.abs(read.astype(int) - expected)
    assert difference.max() <= 8
    assert difference.mean() <= 0.5


def test_a_large_jpeg_is_decoded_with_fewer_pixels(tmp_path):
    jpeg(tmp_path / "a.jpg", (1600, 1200))
    assert first_frame(tmp_path / "a.jpg", (64, 64)).size == (200, 150)
    assert first_frame(tmp_path / "a.jpg", (150, 150)).size == (400, 300)
    assert first_frame(tmp_path / "a.jpg", (700, 700)).size == (1600, 1200)
