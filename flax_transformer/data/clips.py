"""Frames of images and videos in files, whatever wrote them: Pillow and PyAV read them."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, ImageSequence

from flax_transformer.errors import UserError

IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")  # other files may lie beside
MOVING_IMAGES = (".apng", ".gif", ".png", ".webp")
FILMS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm")
CLIPS = (*MOVING_IMAGES, *FILMS)
# What Pillow, and we, raise of a damaged file.
DAMAGED = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


def first_frame(path: Path) -> Image.Image:
    """Reads an image upright, or the first frame of a clip; raises one of `DAMAGED`."""
    return next(_frames(path))


def even_frames(path: Path, number: int) -> list[Image.Image]:
    """Reads frames evenly over a whole clip, its first and its last among them.

    A clip that is shorter shows some of its frames several times. It is read twice, so that no
    more than the wanted frames lie in memory.

    Args:
        path: of a GIF, WebP or PNG with several frames, of a film, or of a folder of images in the
            order of their names.
        number: of frames.

    Raises:
        UserError: if a film is to be read without PyAV.
        OSError, ValueError, SyntaxError, Image.DecompressionBombError: of a damaged file.
    """
    chosen = np.linspace(0, _length(path) - 1, number).round().astype(int)
    times = Counter(chosen.tolist())
    frames = []
    for index, frame in zip(range(max(times) + 1), _frames(path), strict=False):
        frames += [frame] * times[index]
    return frames


def images_in(folder: Path) -> list[Path]:
    """Names the images of a folder in alphabetical order."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGES)


def _length(path: Path) -> int:
    if path.is_dir():
        length = len(images_in(path))
    elif path.suffix.lower() in FILMS:
        length = sum(1 for _ in _film(path))
    else:
        with Image.open(path) as image:
            length = getattr(image, "n_frames", 1)
    if not length:
        raise ValueError("no frame in it")
    return length


def _frames(path: Path) -> Iterator[Image.Image]:
    if path.is_dir():
        yield from (first_frame(inner) for inner in images_in(path))
    elif path.suffix.lower() in FILMS:
        yield from (frame.to_image() for frame in _film(path))
    else:
        with Image.open(path) as image:
            for frame in ImageSequence.Iterator(image):
                yield ImageOps.exif_transpose(frame).copy()


def _film(path: Path) -> Iterator[Any]:
    try:
        # An extra, which not everyone who checks types has.
        import av  # pyright: ignore[reportMissingImports]
        import av.error  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UserError(
            f"{path} is read by PyAV, which is not installed: give pip install "
            "'flax_transformer[videos]', or make a GIF or a folder of images of it"
        ) from None
    try:
        with av.open(str(path)) as film:
            if not film.streams.video:
                raise ValueError("no pictures in it")
            yield from film.decode(video=0)
    except av.error.FFmpegError as error:
        raise ValueError(error.strerror) from None
