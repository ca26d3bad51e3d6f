"""Films that tests make of frames, with the metadata of a camera or an editor."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ONE = 1 << 16  # as a display matrix holds it


def save_film(
    path: Path,
    frames: Sequence[Image.Image],
    *,
    times: Sequence[float] | None = None,
    aspect: Fraction | None = None,
    codec: str = "mpeg4",
    pixels: str = "yuv420p",
) -> None:
    """Writes a film of frames of one size; `times` are seconds, a fifth each if not given."""
    av: Any = pytest.importorskip("av", reason="PyAV is not installed")
    with av.open(str(path), "w") as film:
        stream = film.add_stream(codec, rate=5)
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = pixels
        stream.codec_context.time_base = Fraction(1, 100)
        stream.codec_context.gop_size = 4
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for index, image in enumerate(frames):
            array = np.asarray(image.convert("RGBA" if pixels == "rgba" else "RGB"))
            frame = av.VideoFrame.from_ndarray(
                array, format="rgba" if pixels == "rgba" else "rgb24"
            )
            frame.pts = round(100 * (index / 5 if times is None else times[index]))
            frame.time_base = Fraction(1, 100)
            film.mux(stream.encode(frame))
        film.mux(stream.encode())


def turn(path: Path, a: int, b: int, c: int, d: int) -> None:
    """Writes the matrix (a b; c d), by which pictures are turned, into an MP4."""
    contents = bytearray(path.read_bytes())
    # Version 0: after the type come 40 bytes before the matrix.
    start = contents.index(b"tkhd") + 44
    matrix = np.array([a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30], ">i4")
    contents[start : start + 36] = matrix.tobytes()
    path.write_bytes(contents)
