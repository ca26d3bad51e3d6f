"""Converts pixels of any kind to 8 bits, in grayscale or RGB."""

from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms, ImageColor

from flax_transformer.errors import UserError

MODES = {1: "L", 3: "RGB"}  # by number of channels
SIXTEEN_BITS = ("PNG", "PPM", "JPEG2000")  # formats with integers of at most 16 bits
ADVICE = "divide them by the largest possible value, multiply by 255 and save them with 8 bits"


def check_color(name: str, value: str) -> None:
    """Rejects a color that Pillow does not know, or that is transparent.

    Example:
        >>> check_color("--data.background", "#ff8000")
        >>> check_color("--data.background", "withe")
        Traceback (most recent call last):
            ...
        flax_transformer.errors.UserError: --data.background 'withe' is not a color: give a name \
such as white or black, or #rrggbb
    """
    try:
        is_opaque = len(ImageColor.getrgb(value)) == 3
    except ValueError:
        is_opaque = False
    if not is_opaque:
        raise UserError(
            f"{name} '{value}' is not a color: give a name such as white or black, or #rrggbb"
        )


def convert(image: Image.Image, channels: int, background: str = "white") -> Image.Image:
    """Converts an image to the mode for a number of channels, 0 to 255.

    Args:
        image: image in any Pillow mode; 16-bit numbers are divided by 257.
        channels: 1 for gray or 3 for red, green and blue.
        background: color behind transparent pixels.

    Raises:
        ValueError: if numbers of more than 16 bits, or fractions, do not fit into 0 to 255.

    Example:
        >>> image = Image.new("LA", (1, 1), (0, 51))  # black, and 4/5 transparent
        >>> convert(image, 1).getpixel((0, 0)), convert(image, 1, "black").getpixel((0, 0))
        (204, 0)
    """
    if channels not in MODES:
        raise ValueError(f"a file has 1 or 3 channels, and the model reads {channels}")
    image = _as_8_bits(image)
    if image.mode == "LAB":
        image = ImageCms.profileToProfile(  # pyright: ignore[reportAssignmentType]
            image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = _compose(image, background)
    return image.convert(MODES[channels])


def from_array(array: Any) -> Image.Image:
    """Makes an image of [height, width] numbers, or [height, width, channels] of 1, 3 or 4.

    Raises:
        ValueError: if the array has another shape, or its numbers do not have 8 or 16 bits.
    """
    pixels = np.asarray(array)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    is_image = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    if not is_image or not pixels.size or pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            "give [height, width] or [height, width, 1, 3 or 4] of uint8, 0 to 255, or of uint16, "
            "0 to 65535"
        )
    return Image.fromarray(pixels if pixels.dtype == np.uint8 else _from_bits(pixels, 16))


def _as_8_bits(image: Image.Image) -> Image.Image:
    """Converts integers of 16 or 32 bits, and fractions, to integers of 8 bits."""
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return image
    values = np.asarray(image)
    # Older versions of Pillow open a 16-bit PNG in the 32-bit mode.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in SIXTEEN_BITS):
        bits = 12 if image.info.get("bits") == 12 else 16
        eight_bits = _from_bits(values, bits)
        # Pillow itself inverts only images of at most 8 bits.
        gray = Image.fromarray(255 - eight_bits if image.info.get("is_white_0") else eight_bits)
        transparent = image.info.get("transparency")
        if transparent is not None:
            gray.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
        return gray
    _check_range(values)
    return Image.fromarray(values.round().astype(np.uint8))


def _check_range(values: np.ndarray) -> None:
    lowest, highest = values.min(), values.max()
    kind = "32-bit fractions" if values.dtype.kind == "f" else "32-bit integers"
    seen = f"{kind} from {lowest:g} to {highest:g}"
    if not (lowest >= 0 and highest <= 255):  # true for NaN as well
        raise ValueError(f"it holds {seen}, but only 0 to 255 can be read: {ADVICE}")
    if values.dtype.kind == "f" and 0 < highest <= 1:
        raise ValueError(f"it holds {seen}, whose largest possible value may be 1 or 255: {ADVICE}")


def _from_bits(values: np.ndarray, bits: int) -> UInt8[np.ndarray, "..."]:
    """Scales integers so that the largest integer of `bits` bits becomes 255, and rounds."""
    largest = (1 << bits) - 1
    return ((255 * values.astype(np.uint32) + largest // 2) // largest).astype(np.uint8)


def _compose(image: Image.Image, background: str) -> Image.Image:
    transparent = image.info.get("transparency")
    if isinstance(transparent, tuple) and max(transparent) > 255:
        # Pillow keeps the high bytes of 16-bit RGB, but not of the transparent color.
        image = image.copy()
        image.info["transparency"] = tuple(value >> 8 for value in transparent)
    if image.mode == "La":  # Pillow converts it only to LA
        image = image.convert("LA")
    return Image.alpha_composite(Image.new("RGBA", image.size, background), image.convert("RGBA"))
