"""A user's own images and videos, converted to the model's input."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from flax_transformer.data.files.clips import (
    DAMAGED,
    Source,
    even_frames,
    even_frames_of,
    first_frame,
    is_film,
    reason,
    upright,
)
from flax_transformer.data.files.films import evenly
from flax_transformer.data.files.pixels import convert, from_array
from flax_transformer.errors import UserError


def read_images(
    inputs: Any, shape: tuple[int, ...], background: str = "white"
) -> UInt8[np.ndarray, "examples ..."]:
    """Reads images or videos, crops them to the wanted aspect ratio and resizes them.

    Args:
        inputs: paths of files (for a video, see `even_frames`), contents of files that Pillow reads
            (bytes), Pillow images, or arrays of pixels: [height, width], or [height, width,
            channels] with 1, 3 or 4 channels. The first axis of a video is its frames. A single
            input need not be in a list.
        shape: (height, width, channels), preceded by the number of frames for videos.
        background: color behind transparent pixels.

    Raises:
        UserError: if an input cannot be read.
    """
    given = [inputs] if _is_one(inputs, shape) else inputs
    read = [_read(value, shape, background) for value in given]
    return np.stack(read) if read else np.zeros((0, *shape), np.uint8)


def read_large(
    value: Any, shape: tuple[int, ...], longest_side: int, background: str = "white"
) -> UInt8[np.ndarray, "..."]:
    """Reads an image or a video in color, with more pixels than a model reads if it has more.

    Args:
        value: one input of `read_images`.
        shape: shape that the model reads; the result has the same crop.
        longest_side: limit of the height and the width, unless the model reads more.
        background: color behind transparent pixels.

    Raises:
        UserError: if the input cannot be read.
    """
    return _read(value, shape, background, longest_side)


def read_pixels(
    shape: tuple[int, ...], background: str, path: Path, damages: list[str] | None = None
) -> UInt8[np.ndarray, "..."]:
    """Reads an image or a video; raises one of `DAMAGED`.

    Args:
        shape: wanted shape, as in `read_images`.
        background: color behind transparent pixels.
        path: path of a file, or of a folder of images.
        damages: collects messages about damage while the rest is read; None: damage is an error.
    """
    return _fit_all(_images_in(path, shape, damages), shape, background)


def _images_in(
    path: Source, shape: tuple[int, ...], damages: list[str] | None = None
) -> list[Image.Image]:
    *frames, height, width, _ = shape
    if frames:
        return even_frames(path, frames[0], (width, height), damages)
    if isinstance(path, Path) and path.is_dir():
        raise ValueError("it is a folder: give the images in it")
    if isinstance(path, Path) and is_film(path):
        raise ValueError("it is a film")
    return [first_frame(path, (width, height))]


def fit(
    image: Image.Image, height: int, width: int, channels: int, background: str = "white"
) -> UInt8[np.ndarray, "height width channels"]:
    """Crops an image to the wanted aspect ratio, around its center, and resizes it bicubically.

    Raises:
        ValueError: if it has no pixel, or the range of its numbers is unknown; see `convert`.
    """
    if not (image.width and image.height):
        raise ValueError("it has no pixel")
    converted = convert(image, channels, background)
    fitted = ImageOps.fit(converted, (width, height), Image.Resampling.BICUBIC)
    return np.asarray(fitted).reshape(height, width, channels)


def _fit_all(images: Sequence[Image.Image], shape: tuple[int, ...], background: str) -> np.ndarray:
    # A repeated frame is resized once.
    height, width, channels = shape[-3:]
    fitted = {id(image): fit(image, height, width, channels, background) for image in images}
    return np.stack([fitted[id(image)] for image in images]).reshape(shape)


def _large_shape(
    images: Sequence[Image.Image], shape: tuple[int, ...], longest_side: int
) -> tuple[int, ...]:
    """Enlarges a shape as far as all images have the pixels for it."""
    *frames, height, width, _ = shape
    pixels = min(min(image.width / width, image.height / height) for image in images)
    scale = max(1, min(pixels, longest_side / max(height, width)))
    return (*frames, round(height * scale), round(width * scale), 3)


def _is_one(inputs: Any, shape: tuple[int, ...]) -> bool:
    """Returns whether inputs are a single input, not a list."""
    axes = getattr(inputs, "ndim", None)
    if axes is not None:  # an array of any library
        return axes < len(shape) or (axes == len(shape) and _has_channels(inputs))
    return isinstance(inputs, str | bytes | os.PathLike | Image.Image)


def _has_channels(array: Any) -> bool:
    return array.ndim >= 3 and array.shape[-1] in (1, 3, 4)


def _read(
    value: Any, shape: tuple[int, ...], background: str, longest_side: int | None = None
) -> np.ndarray:
    kind = "a video" if len(shape) == 4 else "an image"
    if getattr(value, "shape", None) == shape and value.dtype == np.uint8:
        return np.asarray(value)
    is_path = isinstance(value, str | os.PathLike)
    try:
        if is_path or isinstance(value, bytes):
            wanted = shape if longest_side is None else (*shape[:-3], longest_side, longest_side, 3)
            images = _images_in(Path(value) if is_path else value, wanted)
        else:
            images = _frames(value, shape[0]) if len(shape) == 4 else [_image(value)]
        if longest_side is not None:
            shape = _large_shape(images, shape, longest_side)
        return _fit_all(images, shape, background)
    except DAMAGED as error:
        raise UserError(
            f"cannot read {Path(value)} ({reason(error)}): give {kind}"
            if is_path
            else f"cannot read {_told(value)} as {kind}: {reason(error)}"
        ) from None


def _frames(value: Any, number: int) -> list[Image.Image]:
    """Frames of a video that is not a file, chosen as those of files."""
    if isinstance(value, Image.Image):
        return even_frames_of(value, number)
    if not isinstance(value, list | tuple):
        array = np.asarray(value)
        is_still = array.ndim < 3 or (array.ndim == 3 and _has_channels(array))
        value = [array] if is_still else array
    if not len(value):
        raise ValueError("no frame in it")
    return [_image(value[index]) for index in evenly(range(len(value)), number)]


def _image(value: Any) -> Image.Image:
    return upright(value) if isinstance(value, Image.Image) else from_array(value)


def _told(value: Any) -> str:
    if isinstance(value, bytes):
        return f"a file of {len(value):,} bytes"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"an array {tuple(value.shape)} of {value.dtype}"
    return f"{value!r:.60}"
