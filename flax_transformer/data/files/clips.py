"""Frames of images and videos in files of any format that Pillow or PyAV reads."""

import contextlib
import functools
import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from flax_transformer.data.files import films
from flax_transformer.data.files.folders import visible

# Formats that Pillow only recognizes, or reads through a program that runs code from the file.
NOT_READ = ("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF")
MOVING = (".apng", ".avif", ".avifs", ".flc", ".fli", ".gif", ".png", ".tif", ".tiff", ".webp")
TIMED = ("AVIF", "GIF", "PNG", "WEBP")  # formats that store how long each frame is shown
BITS_PER_SAMPLE, PHOTOMETRIC_INTERPRETATION = 258, 262  # tags of a TIFF
USUAL_DURATION = 100  # milliseconds of a frame without a duration, as in browsers
# Exceptions that Pillow, PyAV and this package raise for a damaged file.
DAMAGED = (
    EOFError,
    IndexError,
    KeyError,
    NotImplementedError,
    OSError,
    OverflowError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
Size = tuple[int, int]  # (width, height)
Source = Path | bytes  # a file, or what is in it


@functools.cache
def image_endings() -> frozenset[str]:
    """Returns the endings of files that Pillow reads, in lower case.

    Example:
        >>> {".jpg", ".tif", ".mpg"} & image_endings() == {".jpg", ".tif"}
        True
    """
    formats = _formats()
    return frozenset(e for e, kind in Image.registered_extensions().items() if kind in formats)


@functools.cache
def _formats() -> tuple[str, ...]:
    """Returns the formats that Pillow reads, whatever a file's ending."""
    Image.init()
    return tuple(kind for kind in Image.ID if kind in Image.OPEN and kind not in NOT_READ)


def is_image(path: Path) -> bool:
    """Returns whether a path is a file that Pillow reads, by its ending."""
    return path.suffix.lower() in image_endings() and path.is_file()


def is_film(path: Path) -> bool:
    """Returns whether a path is a film, by its ending."""
    return path.suffix.lower() in films.ENDINGS


def is_clip(path: Path) -> bool:
    """Returns whether a path is a file that may have several frames, or a folder of frames.

    A folder of films or moving images is not a clip: it contains clips.
    """
    if not path.is_dir():
        return (is_film(path) or path.suffix.lower() in MOVING) and path.is_file()
    images = images_in(path)
    if not images or any(is_film(inner) for inner in visible(path)):
        return False
    if images[0].suffix.lower() not in MOVING:
        return True
    with contextlib.suppress(*DAMAGED), _opened(images[0]) as image:
        return getattr(image, "n_frames", 1) == 1
    return True


def images_in(folder: Path) -> list[Path]:
    """Lists the images of a folder in natural order."""
    return [path for path in visible(folder) if is_image(path)]


def first_frame(path: Source, size: Size) -> Image.Image:
    """Reads an image upright, the first one in its file; raises one of `DAMAGED`.

    Args:
        path: a file that Pillow reads, or its contents.
        size: size to which the image will be cropped and resized; a JPEG is decoded with fewer
            pixels if that is enough.
    """
    with _opened(path) as image:
        _draft(image, size)
        return upright(image)


def even_frames(
    path: Source, number: int, size: Size, damages: list[str] | None = None
) -> list[Image.Image]:
    """Reads frames evenly over a whole clip, including its first and its last.

    They are evenly spaced in time if the file stores the times of its frames. Frames of a shorter
    clip are repeated. Only the wanted frames are in memory.

    Args:
        path: a GIF, WebP or PNG with several frames, or its contents; a film, or a folder of images
            in the natural order of their names.
        number: number of frames.
        size: see `first_frame`.
        damages: collects messages about damage while the rest is read; None: damage is an error.

    Raises:
        UserError: if the path is a film and PyAV is not installed.
        Exception: one of `DAMAGED`, if the file is damaged.
    """
    if isinstance(path, Path) and path.is_dir():
        return _even_images(path, number, size, damages)
    if isinstance(path, Path) and is_film(path):
        return films.even_film_frames(path, number, damages)
    with _opened(path) as image:
        return even_frames_of(image, number, damages)


def even_frames_of(
    image: Image.Image, number: int, damages: list[str] | None = None
) -> list[Image.Image]:
    """Does the same as `even_frames`, for an open image."""
    chosen = films.evenly(_times(image, damages), number)
    frames = {}
    for index in sorted(set(chosen)):
        image.seek(index)
        frames[index] = upright(image)
    return [frames[index] for index in chosen]


def count_pixels(contents: bytes, *, is_clip: bool) -> int:
    """Counts the pixels that a file says it has, without decoding it; raises one of `DAMAGED`.

    Args:
        contents: of a file that Pillow reads.
        is_clip: whether all its frames count, or the first one only.
    """
    with _opened(contents) as image:
        frames = getattr(image, "n_frames", 1) if is_clip else 1
        return image.width * image.height * frames


def upright(image: Image.Image) -> Image.Image:
    """Copies an image and rotates it as its file says; the copy can be used after the file."""
    turned = ImageOps.exif_transpose(image)
    turned.format = image.format  # it determines the number of bits
    tags = getattr(image, "tag_v2", {})  # only a TIFF has these
    turned.info["bits"] = tags.get(BITS_PER_SAMPLE, (16,))[0]
    turned.info["is_white_0"] = tags.get(PHOTOMETRIC_INTERPRETATION) == 0
    return turned


def reason(error: BaseException) -> str:
    """Explains in a few words why a file cannot be read."""
    if isinstance(error, UnidentifiedImageError):
        return "it is empty or not an image that Pillow knows"
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels: make it smaller"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    # Other messages require knowledge of the file format.
    is_clear = isinstance(error, OSError | ValueError) and str(error)
    return str(error) if is_clear else "it is damaged"


@contextlib.contextmanager
def _opened(path: Source) -> Iterator[Image.Image]:
    # Pillow warns about damaged metadata, and about images larger than half its limit.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = io.BytesIO(path) if isinstance(path, bytes) else path
        with Image.open(file, formats=_formats()) as image:
            yield image


def _draft(image: Image.Image, size: Size) -> None:
    """Lets a JPEG be decoded with 2, 4 or 8 times fewer pixels each way, if that is enough.

    At least twice the wanted number of pixels is left each way, and the edges do not move.
    """
    per_pixel = min(*image.size) / max(*size)  # valid for any orientation
    for scale in (8, 4, 2):
        width, height = image.width // scale, image.height // scale
        if per_pixel >= 2 * scale and (width * scale, height * scale) == image.size:
            image.draft(None, (width, height))
            return


def _times(image: Image.Image, damages: list[str] | None) -> list[int | float]:
    """Time of each frame in ms; the frame numbers if the file has no times."""
    times: list[int | float] = []
    try:
        if image.format not in TIMED:
            return list(range(getattr(image, "n_frames", 1)))
        time = 0
        for frame in ImageSequence.Iterator(image):
            frame.load()
            times.append(time)
            time += frame.info.get("duration") or USUAL_DURATION
    except DAMAGED as error:
        if damages is None or not times:
            raise
        damages.append(reason(error))
    return times


def _even_images(
    folder: Path, number: int, size: Size, damages: list[str] | None
) -> list[Image.Image]:
    paths = images_in(folder)
    if paths and not is_clip(folder):
        raise ValueError("it holds several clips")
    read: dict[Path, Image.Image] = {}
    while paths:
        chosen = [paths[index] for index in films.evenly(range(len(paths)), number)]
        for path in dict.fromkeys(chosen):
            try:
                read[path] = read.get(path) or first_frame(path, size)
            except DAMAGED as error:
                films.note(damages, f"{path.name}: {reason(error)}")
                paths.remove(path)  # and choose again
                break
        else:
            return [read[path] for path in chosen]
    raise ValueError("no frame in it")
