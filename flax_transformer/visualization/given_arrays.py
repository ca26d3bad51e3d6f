"""Checks of arrays that users give for pictures: arrays of any library, and pixels."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.core import Tracer
from jaxtyping import UInt8

from flax_transformer.errors import UserError

# Argument name -> the words for its axes and for the axes of its patches.
_AXES = {
    "image": ("[height, width, 3]", "(rows, columns)"),
    "video": ("[time, height, width, 3]", "(times, rows, columns)"),
}


def host_array(name: str, array: Any, dtype: Any = None) -> np.ndarray:
    """Reads an array, or a sequence of arrays, into the host's memory.

    Args:
        name: of the array, for the error message.
        array: of any library that NumPy can read.
        dtype: of the result; that of the array if None.

    Raises:
        UserError: if NumPy cannot read it; the error says what to give instead.
    """
    if isinstance(array, Tracer):
        raise UserError(f"{name} have no values inside jit or grad: return them, then show them")
    if getattr(array, "requires_grad", False):
        raise UserError(f"{name} need a gradient, so NumPy cannot read them: call .detach() first")
    try:
        return np.asarray(array, dtype)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{name} are not an array of numbers ({reason}): give one") from error


def check_picture(
    image: Any,
    video: Any,
    patches: Sequence[int] | None,
    num_tokens: int,
) -> tuple[dict[str, Any], UInt8[np.ndarray, "time height width 3"]] | None:
    """Finds the patches of an image or a video, which are the last of the tokens.

    Args:
        image: pixels [height, width, 3], integers up to 255 or fractions up to 1; or None.
        video: pixels [time, height, width, 3]; or None.
        patches: (rows, columns) of the image, (times, rows, columns) of the video.
        num_tokens: number of tokens.

    Returns:
        The description of the picture for a page: the numbers of "patches" along time, height and
        width, and the index of the "first" patch among the tokens; and the pixels, with one frame
        for an image. None without a picture.

    Raises:
        UserError: if pixels, patches and tokens do not fit each other.

    Example:
        >>> header, pixels = check_picture(np.zeros((6, 4, 3)), None, (3, 2), 7)
        >>> header["first"], pixels.shape
        (1, (1, 6, 4, 3))
    """
    if image is None and video is None:
        if patches is not None:
            raise UserError(f"patches {tuple(patches)} are of no picture: pass image or video")
        return None
    if image is not None and video is not None:
        raise UserError("image and video are both given: pass one of them")
    name, given_pixels = ("image", image) if video is None else ("video", video)
    pixels = host_array(f"pixels of the {name}", given_pixels)
    axes, grid = _AXES[name]
    given = tuple(() if patches is None else patches)
    if pixels.ndim != axes.count(",") + 1 or pixels.shape[-1] != 3 or not pixels.size:
        raise UserError(
            f"{name} of shape {list(pixels.shape)} is not {axes}: give pixels of that shape"
        )
    if len(given) != grid.count(",") + 1 or min(given) < 1:
        raise UserError(f"patches {patches} of the {name} are not {grid}: say how many there are")
    if name == "image":
        pixels, given = pixels[None], (1, *given)
    first = num_tokens - math.prod(given)
    if first < 0:
        raise UserError(
            f"{math.prod(given)} patches are more than the {num_tokens} tokens: give a token for "
            "each patch"
        )
    if len(pixels) % given[0]:
        raise UserError(
            f"the {name}'s time of {len(pixels)} is not a multiple of {given[0]} patches: give "
            "another number of patches"
        )
    return {"patches": given, "first": first}, pixel_bytes(name, pixels)


def pixel_bytes(name: str, pixels: np.ndarray) -> UInt8[np.ndarray, "..."]:
    """Converts pixels to bytes.

    Args:
        name: of the image or video, for the error message.
        pixels: integers up to 255 or fractions up to 1.

    Raises:
        UserError: if a value is not a pixel.

    Example:
        >>> pixel_bytes("image", np.array([0.0, 0.2, 1.0])).tolist()
        [0, 51, 255]
    """
    most = 255 if np.issubdtype(pixels.dtype, np.integer) else 1
    is_pixel = (pixels >= 0) & (pixels <= most)
    if not is_pixel.all():
        raise UserError(
            f"{name} holds {pixels[~is_pixel][0]}: pixels are whole numbers from 0 to 255, or "
            "fractions from 0 to 1"
        )
    return np.rint(pixels * (255 / most)).astype(np.uint8)
