"""Every mode of Pillow, from files and given directly, against values computed by hand."""

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from flax_transformer.data.files.image_files import read_images
from flax_transformer.data.files.pixels import check_color, convert
from flax_transformer.errors import UserError

RAMP = (np.arange(4096, dtype=np.uint16) * 16).reshape(64, 64)
SCALED = np.round(RAMP / 257).astype(np.uint8)


def read(path, channels: int = 1, size: tuple[int, int] = (64, 64), **options: Any) -> np.ndarray:
    return read_images([path], (*size, channels), **options)[0]


def png(bits: int, color_type: int, row: bytes, transparent: bytes, width: int) -> bytes:
    """A PNG of one row of pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, 1, bits, color_type, 0, 0, 0)
    parts = {
        b"IHDR": header,
        b"tRNS": transparent,
        b"IDAT": zlib.compress(b"\0" + row),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts.items())


@pytest.mark.parametrize("ending", ["png", "tif", "pgm", "jp2"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_are_divided_by_257(tmp_path, ending, channels):
    Image.fromarray(RAMP).save(tmp_path / f"a.{ending}")
    expected = np.repeat(SCALED[..., None], channels, axis=-1)
    np.testing.assert_array_equal(read(tmp_path / f"a.{ending}", channels), expected)


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B", "I;16N"])
def test_16_bits_in_either_order_of_bytes(mode):
    order = {"I;16B": ">u2"}.get(mode, "<u2")
    image = Image.frombytes(mode, (64, 64), RAMP.astype(order).tobytes())
    np.testing.assert_array_equal(np.asarray(convert(image, 1)), SCALED)


def test_a_png_of_16_bits_that_pillow_opens_as_32(tmp_path):
    image = Image.fromarray(RAMP.astype(np.int32))
    image.format = "PNG"
    np.testing.assert_array_equal(np.asarray(convert(image, 1)), SCALED)


def tiff(bits: int, row: bytes, width: int, *, is_white_0: bool) -> bytes:
    """A TIFF of one row of gray pixels, in a form that Pillow itself does not write."""
    interpretation = 0 if is_white_0 else 1
    tags = {256: width, 257: 1, 258: bits, 259: 1, 262: interpretation, 273: 8, 277: 1, 278: 1}
    tags[279] = len(row)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", 8 + len(row)) + row + directory


def test_12_bits_of_a_tiff_reach_from_black_to_white(tmp_path):
    values = [0, 2048, 4095, 16]
    row = int("".join(f"{value:012b}" for value in values), 2).to_bytes(6, "big")
    (tmp_path / "a.tif").write_bytes(tiff(12, row, 4, is_white_0=False))
    assert read(tmp_path / "a.tif", size=(1, 4)).ravel().tolist() == [0, 128, 255, 1]


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_in_which_0_is_white(tmp_path, bits):
    row = np.array([0, 51, 255], np.uint8) if bits == 8 else np.array([0, 51 * 257, 65535], "<u2")
    (tmp_path / "a.tif").write_bytes(tiff(bits, row.tobytes(), 3, is_white_0=True))
    assert read(tmp_path / "a.tif", size=(1, 3)).ravel().tolist() == [255, 204, 0]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("ending", ["tif", "png"])
def test_images_of_any_bits_are_upright(tmp_path, ending, kind):
    values = np.array([[0, 51], [102, 204]]) * (257 if kind == np.uint16 else 1)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(values.astype(kind)).save(tmp_path / f"a.{ending}", exif=exif)
    found = read(tmp_path / f"a.{ending}", size=(2, 2))[..., 0].tolist()
    assert found == [[102, 0], [204, 51]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[0, 70000]], np.int32), "32-bit integers from 0 to 70000, but only 0 to 255"),
        (np.array([[-3, 7]], np.int32), "32-bit integers from -3 to 7"),
        (np.array([[0, 4095]], np.int32), "32-bit integers from 0 to 4095"),
        (np.array([[0.5, 256]], np.float32), "32-bit fractions from 0.5 to 256"),
        (
            np.array([[0, 0.75]], np.float32),
            "from 0 to 0.75, whose largest possible value may be 1 or 255",
        ),
        (np.array([[0, np.nan]], np.float32), "from nan to nan"),
        (np.array([[0, np.inf]], np.float32), "from 0 to inf"),
    ],
)
def test_other_ranges_are_refused_and_how_to_scale_them_is_said(tmp_path, values, message):
    image = Image.fromarray(values)
    image.save(tmp_path / "a.tif")
    for value in (tmp_path / "a.tif", image):
        with pytest.raises(UserError, match=f"{message}.*: divide them by the largest") as error:
            read(value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_32_bits_that_hold_0_to_255_are_read(tmp_path, kind):
    values = np.arange(256).reshape(16, 16).astype(kind)
    Image.fromarray(values).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read(tmp_path / "a.tif", size=(16, 16))[..., 0], values)


COLOR = (200, 100, 40)
GRAY = round(0.299 * 200 + 0.587 * 100 + 0.114 * 40)
MODES = {
    "1": (255, (255, 255, 255)),
    "L": (90, (90, 90, 90)),
    "P": (COLOR, COLOR),
    "RGB": (COLOR, COLOR),
    "RGBX": ((*COLOR, 0), COLOR),
    "CMYK": ((55, 155, 215, 0), COLOR),
    "YCbCr": ((90, 128, 128), (90, 90, 90)),
    "HSV": ((0, 0, 90), (90, 90, 90)),
    "LA": ((0, 51), (204, 204, 204)),
    "La": ((0, 51), (204, 204, 204)),
    "RGBA": ((0, 0, 0, 51), (204, 204, 204)),
    "RGBa": ((0, 0, 0, 51), (204, 204, 204)),
}


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_becomes_its_colors_on_white(mode):
    value, color = MODES[mode]
    image = Image.new(mode, (2, 2), value)
    assert np.asarray(convert(image, 3))[0, 0].tolist() == list(color)
    gray = GRAY if color == COLOR else color[0]
    assert np.asarray(convert(image, 1))[0, 0] == gray


def test_a_palette_with_transparency():
    image = Image.new("PA", (1, 1))
    image.putpalette([0, 0, 0] * 256)
    assert np.asarray(convert(image, 1))[0, 0] == 255


def drawing(ending: str) -> Image.Image:
    """A black square in the middle of transparent pixels."""
    image = Image.new("RGBA", (6, 6), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (2, 2, 4, 4))
    if ending != "gif":
        return image
    palette = Image.new("P", (6, 6), 1)
    palette.putpalette([0, 0, 0, 0, 0, 0])
    palette.paste(0, (2, 2, 4, 4))
    palette.info["transparency"] = 1
    return palette


@pytest.mark.parametrize("ending", ["png", "webp", "tif", "gif"])
@pytest.mark.parametrize(
    ("background", "behind"),
    [("white", (255,) * 3), ("black", (0,) * 3), ("#ff8000", (255, 128, 0))],
)
def test_what_is_transparent_shows_the_background(tmp_path, ending, background, behind):
    path = tmp_path / f"a.{ending}"
    options: Any = {"lossless": True} if ending == "webp" else {}
    drawing(ending).save(path, **options)
    pixels = read(path, 3, (6, 6), background=background)
    assert pixels[0, 0].tolist() == list(behind)
    assert pixels[2, 2].tolist() == [0, 0, 0]


def test_white_is_the_background_unless_another_is_asked_for(tmp_path):
    drawing("png").save(tmp_path / "a.png")
    assert read(tmp_path / "a.png", size=(6, 6))[0, 0, 0] == 255


@pytest.mark.parametrize(
    ("bits", "color_type", "row", "transparent"),
    [
        (8, 0, bytes([7, 40]), struct.pack(">H", 7)),
        (16, 0, struct.pack(">2H", 700, 40 * 257), struct.pack(">H", 700)),
        (8, 2, bytes([0, 9, 7, 40, 40, 40]), struct.pack(">3H", 0, 9, 7)),
        (16, 2, struct.pack(">6H", 0, 900, 700, *[40 * 257] * 3), struct.pack(">3H", 0, 900, 700)),
        (1, 0, bytes([0b01000000]), struct.pack(">H", 0)),
    ],
)
def test_one_transparent_value_of_a_png(tmp_path, bits, color_type, row, transparent):
    (tmp_path / "a.png").write_bytes(png(bits, color_type, row, transparent, width=2))
    other = 255 if bits == 1 else 40
    for background, behind in (("white", 255), ("black", 0)):
        pixels = read(tmp_path / "a.png", 1, (1, 2), background=background)
        assert pixels.ravel().tolist() == [behind, other]


def test_cmyk_jpegs_and_lab_tiffs_are_read(tmp_path):
    Image.new("CMYK", (8, 8), (55, 155, 215, 0)).save(tmp_path / "a.jpg", quality=100)
    assert np.abs(read(tmp_path / "a.jpg", 3, (8, 8))[0, 0].astype(int) - COLOR).max() <= 3
    lab: Any = ImageCms.profileToProfile(
        Image.new("RGB", (8, 8), COLOR),
        ImageCms.createProfile("sRGB"),
        ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )
    lab.save(tmp_path / "a.tif")
    assert np.abs(read(tmp_path / "a.tif", 3, (8, 8))[0, 0].astype(int) - COLOR).max() <= 3


@pytest.mark.parametrize("color", ["withe", "", "#12345", "#ff000080"])
def test_what_is_not_an_opaque_color_is_refused(color):
    with pytest.raises(UserError, match=f"--data.background '{color}' is not a color: give a name"):
        check_color("--data.background", color)


def test_a_model_of_other_channels_reads_no_file(tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="a file has 1 or 3 channels, and the model reads 5"):
        read(tmp_path / "a.png", 5, (2, 2))


def test_an_image_above_the_limit_of_pillow_is_named_in_one_line(tmp_path, monkeypatch, recwarn):
    Image.new("L", (10, 10)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60)  # of which Pillow warns
    assert read(tmp_path / "a.png", size=(2, 2)).max() == 0
    assert not recwarn.list
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    with pytest.raises(UserError, match=r"a\.png \(it has more than 80 pixels: make it smaller\)"):
        read(tmp_path / "a.png", size=(2, 2))
