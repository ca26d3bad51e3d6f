"""Frames of a picture as PNG or JPEG data within a page."""

import base64
import io
import math

import numpy as np
from jaxtyping import UInt8
from PIL import Image

# The longest side of a frame, and the pixels of all frames together.
LONGEST_SIDE = 1024
MOST_PIXELS = 4_000_000
# Frames of at most this many pixels are kept exactly.
MOST_PIXELS_OF_PNG = 128 * 128
QUALITY = 90  # of a JPEG


def embed_frames(
    pixels: UInt8[np.ndarray, "frames height width 3"],
) -> tuple[list[str], dict[str, int]]:
    """Encodes frames, after shrinking them if they are too large.

    All frames together have at most 4,000,000 pixels, and a side has at most 1024. Frames of at
    most 128 x 128 pixels become PNG data, which are exact; others become JPEG data.

    Args:
        pixels: of all frames; an image is one frame.

    Returns:
        An address for each frame, which holds its data; and the size of a frame: "frames", "height"
        and "width".

    Example:
        >>> addresses, size = embed_frames(np.zeros((1, 2048, 512, 3), np.uint8))
        >>> addresses[0][:23], size
        ('data:image/jpeg;base64,', {'frames': 1, 'height': 1024, 'width': 256})
    """
    number, height, width = pixels.shape[:3]
    area = math.sqrt(MOST_PIXELS / (number * height * width))
    scale = min(1, LONGEST_SIDE / max(height, width), area)
    size = max(1, int(width * scale)), max(1, int(height * scale))
    addresses = [_address(frame, size) for frame in pixels]
    return addresses, {"frames": number, "height": size[1], "width": size[0]}


def _address(frame: np.ndarray, size: tuple[int, int]) -> str:
    image = Image.fromarray(frame)
    if image.size != size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    kind = "png" if size[0] * size[1] <= MOST_PIXELS_OF_PNG else "jpeg"
    file = io.BytesIO()
    image.save(file, kind, quality=QUALITY)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
