"""Images and videos of a user's own, as a trained model reads them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, ImageSequence

from flax_transformer.errors import UserError

MODES = {1: "L", 3: "RGB"}


def read_images(inputs: Sequence[Any], shape: tuple[int, ...]) -> UInt8[np.ndarray, "examples ..."]:
    """Reads images or videos, crops them to the wanted proportions and resizes them.

    Args:
        inputs: paths of files (of a video a GIF, WebP or PNG with several frames, or a folder of
            images in the order of their names), or arrays of pixels of the shape wanted.
        shape: (height, width, channels), before them the number of frames of a video.

    Raises:
        UserError: if one cannot be read, or an array has another shape.
    """
    read = [_read(value, shape) for value in inputs]
    return np.stack(read) if read else np.zeros((0, *shape), np.uint8)


def _read(value: Any, shape: tuple[int, ...]) -> np.ndarray:
    if isinstance(value, str | Path):
        return _frames(Path(value), shape)
    array = np.asarray(value)
    if array.shape != shape or array.dtype != np.uint8:
        raise UserError(
            f"an array {array.shape} of {array.dtype} was given, but the model reads {shape} of "
            "uint8: resize it, or give the path of a file"
        )
    return array


def _frames(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    *frames, height, width, channels = shape
    try:
        images = _open(path)
        if not frames:
            images = images[:1]
        else:  # evenly over the whole video
            chosen = np.linspace(0, len(images) - 1, frames[0]).round().astype(int)
            images = [images[index] for index in chosen]
        fitted = [ImageOps.fit(image.convert(MODES[channels]), (width, height)) for image in images]
    # Of a damaged file Pillow raises any of these.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"cannot read {path} ({error}): give an image") from None
    return np.stack([np.asarray(image) for image in fitted]).reshape(shape)


def _open(path: Path) -> list[Image.Image]:
    if path.is_dir():
        found = [_open(inner)[0] for inner in sorted(path.iterdir()) if inner.is_file()]
        if not found:
            raise ValueError("an empty folder")
        return found
    with Image.open(path) as image:
        return [ImageOps.exif_transpose(frame).copy() for frame in ImageSequence.Iterator(image)]
