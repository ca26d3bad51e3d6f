"""Images and videos of a user's own, as a model reads them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from flax_transformer.data.clips import DAMAGED, even_frames, first_frame
from flax_transformer.errors import UserError

MODES = {1: "L", 3: "RGB"}


def read_images(inputs: Sequence[Any], shape: tuple[int, ...]) -> UInt8[np.ndarray, "examples ..."]:
    """Reads images or videos, crops them to the wanted proportions and resizes them.

    Args:
        inputs: paths of files (of a video, what `even_frames` reads), or arrays of pixels of the
            shape wanted.
        shape: (height, width, channels), before them the number of frames of a video.

    Raises:
        UserError: if one cannot be read, or an array has another shape.
    """
    read = [_read(value, shape) for value in inputs]
    return np.stack(read) if read else np.zeros((0, *shape), np.uint8)


def read_file(path: Path, shape: tuple[int, ...], advice: str) -> UInt8[np.ndarray, "..."]:
    """Reads one image or video of a shape as above.

    Args:
        path: of a file, or of a folder of images.
        shape: wanted.
        advice: what to do where it cannot be read.

    Raises:
        UserError: if it cannot be read.
    """
    *frames, height, width, channels = shape
    try:
        images = even_frames(path, frames[0]) if frames else [first_frame(path)]
        fitted = [fit(image, height, width, channels) for image in images]
    except DAMAGED as error:
        raise UserError(f"cannot read {path} ({error}): {advice}") from None
    return np.stack(fitted).reshape(shape)


def fit(
    image: Image.Image, height: int, width: int, channels: int
) -> UInt8[np.ndarray, "height width channels"]:
    """Crops an image to the wanted proportions, about its middle, and resizes it bicubically."""
    converted = image.convert(MODES[channels])
    fitted = ImageOps.fit(converted, (width, height), Image.Resampling.BICUBIC)
    return np.asarray(fitted).reshape(height, width, channels)


def _read(value: Any, shape: tuple[int, ...]) -> np.ndarray:
    if isinstance(value, str | Path):
        return read_file(Path(value), shape, "give a video" if len(shape) == 4 else "give an image")
    array = np.asarray(value)
    if array.shape != shape or array.dtype != np.uint8:
        raise UserError(
            f"an array {array.shape} of {array.dtype} was given, but the model reads {shape} of "
            "uint8: resize it, or give the path of a file"
        )
    return array
