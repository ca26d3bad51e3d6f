"""Images and videos whose patches are tokens."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from flax_transformer.errors import UserError
from flax_transformer.visualization.host_array import host_array

# By name of the argument, the words for its axes and for those of its patches.
_AXES = {
    "image": ("[height, width, 3]", "(rows, columns)"),
    "video": ("[time, height, width, 3]", "(times, rows, columns)"),
}


@dataclasses.dataclass(frozen=True)
class Picture:
    """Pixels, and which tokens are their patches.

    Attributes:
        pixels: [time, height, width, 3]; an image is one frame.
        patches: how many there are along time, height and width.
        first: index of the first patch among the tokens.
    """

    pixels: UInt8[np.ndarray, "time height width 3"]
    patches: tuple[int, int, int]
    first: int

    @property
    def header(self) -> dict[str, Any]:
        """What a page must know of it beside the pixels."""
        frames, height, width, _ = self.pixels.shape
        return {
            "frames": frames,
            "height": height,
            "width": width,
            "patches": self.patches,
            "first": self.first,
        }


def check_picture(
    image: Any,
    video: Any,
    patches: Sequence[int] | None,
    num_tokens: int,
) -> Picture | None:
    """Finds the patches of an image or a video among tokens, whose last they are.

    Args:
        image: pixels [height, width, 3], whole numbers to 255 or fractions to 1; or None.
        video: pixels [time, height, width, 3]; or None.
        patches: (rows, columns) of the image, (times, rows, columns) of the video.
        num_tokens: how many tokens there are.

    Returns:
        The picture, or None if there is none.

    Raises:
        UserError: if pixels, patches and tokens do not belong together.

    Example:
        >>> check_picture(np.zeros((6, 4, 3)), None, (3, 2), 7).first
        1
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
        raise UserError(f"{name} of shape {list(pixels.shape)} is no {axes}")
    if len(given) != grid.count(",") + 1 or min(given) < 1:
        raise UserError(f"patches {patches} of the {name} are no {grid}: say how many there are")
    if name == "image":
        pixels, given = pixels[None], (1, *given)
    first = num_tokens - math.prod(given)
    if first < 0:
        raise UserError(f"{math.prod(given)} patches are more than the {num_tokens} tokens")
    for axis, size, number in zip(("time", "height", "width"), pixels.shape, given, strict=False):
        if size % number:
            raise UserError(f"the {name}'s {axis} of {size} is no multiple of {number} patches")
    return Picture(pixel_bytes(name, pixels), (given[0], given[1], given[2]), first)


def pixel_bytes(name: str, pixels: np.ndarray) -> UInt8[np.ndarray, "..."]:
    """Gives pixels as bytes.

    Args:
        name: what they are of, for a complaint.
        pixels: whole numbers to 255 or fractions to 1.

    Raises:
        UserError: if a value is no pixel.

    Example:
        >>> pixel_bytes("image", np.array([0.0, 0.2, 1.0])).tolist()
        [0, 51, 255]
    """
    most = 255 if np.issubdtype(pixels.dtype, np.integer) else 1
    is_colour = (pixels >= 0) & (pixels <= most)
    if not is_colour.all():
        raise UserError(
            f"{name} holds {pixels[~is_colour][0]}: pixels are whole numbers from 0 to 255, or "
            "fractions from 0 to 1"
        )
    return np.rint(pixels * (255 / most)).astype(np.uint8)
