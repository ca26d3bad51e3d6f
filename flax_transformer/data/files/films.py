"""Frames of films, decoded by PyAV and shown as a player would show them."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.Image import Transpose

from flax_transformer.errors import UserError

KNOWN = (
    ".264 .265 .3g2 .3gp .amv .asf .avi .divx .dv .f4v .flv .h264 .h265 .hevc .ivf .m1v .m2t .m2ts "
    ".m2v .m4v .mjpeg .mjpg .mkv .mod .mov .mp4 .mpe .mpeg .mpg .mpv .mts .mxf .nut .ogm .ogv .qt "
    ".rm .rmvb .tod .ts .vob .webm .wmv .wtv .y4m"
)
ENDINGS = frozenset(KNOWN.split())
SHORTEST = 0.9  # share of the stated length: a film that ends earlier was cut


def even_film_frames(path: Path, number: int, damages: list[str] | None) -> list[Image.Image]:
    """Reads frames of a film evenly in time, including its first and its last.

    The first pass reads the times of the frames, without decoding. The second pass decodes the film
    and makes images of only the wanted frames.

    Args:
        path: path of the film.
        number: number of frames.
        damages: collects messages about damage while the rest is read; None: damage is an error.

    Raises:
        UserError: if PyAV is not installed.
        ValueError: if the film is damaged, or no frame can be read.
    """
    with _opened(path) as (film, stream):
        times = _times(film, stream, damages)
    is_timed = times is not None
    if times is None:
        with _opened(path) as (film, stream):
            times = list(range(sum(1 for _ in _decoded(film, stream, []))))
    if not times:
        raise ValueError("no frame in it")
    wanted = [times[index] for index in evenly(times, number)]
    with _opened(path) as (film, stream):
        frames = enumerate(_decoded(film, stream, damages))
        timed = ((frame.pts if is_timed else index, frame) for index, frame in frames)
        return _nearest(timed, wanted, stream)


def evenly(times: Sequence[int | float], number: int) -> list[int]:
    """Chooses frames evenly in time, including the first and the last.

    Args:
        times: times of the frames, in order.
        number: number of frames to choose; if there are fewer, some are chosen several times.

    Returns:
        Indices of the chosen frames.

    Example:
        >>> evenly([0, 1, 2, 3, 4], 3), evenly([0, 1, 2, 3, 9], 3), evenly([0, 1], 4)
        ([0, 2, 4], [0, 3, 4], [0, 0, 1, 1])
    """
    last = len(times) - 1
    if times[0] == times[last]:
        places = np.linspace(0, last, number)
    else:
        wanted = np.linspace(times[0], times[last], number)
        places = np.interp(wanted, times, np.arange(last + 1))
    return places.round(6).round().astype(int).tolist()  # halves to even, without rounding errors


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """Opens a film; returns the container and the stream of its pictures."""
    try:
        # An optional dependency that a type checker may not find.
        import av  # pyright: ignore[reportMissingImports]
        import av.error  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UserError(
            f"{path} is read by PyAV, which is not installed: run pip install "
            "'flax_transformer[videos]', or make a GIF or a folder of images of it"
        ) from None
    try:
        with av.open(str(path)) as film:
            # An album cover only if it is the only stream.
            stream: Any = film.streams.best("video")
            if stream is None:
                raise ValueError("no pictures in it")
            stream.thread_type = "AUTO"
            yield film, stream
    except av.error.FFmpegError as error:
        raise ValueError(error.strerror or "it is damaged") from None


def _times(film: Any, stream: Any, damages: list[str] | None) -> list[int] | None:
    """Times of the frames in the stream's units; None if the film does not store them."""
    times, decoded_at, end, is_cut = [], [], 0.0, False
    for packet in film.demux():
        if packet.pts is not None and packet.time_base is not None:
            end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if packet.size:  # the last one is empty
            is_cut = packet.is_corrupt
        if packet.size and packet.stream.index == stream.index and not packet.is_discard:
            times.append(packet.pts)
            decoded_at.append(packet.dts)
    # If time jumps back, as in films joined end to end, frames of both parts share times.
    is_timed = None not in times + decoded_at and not (np.diff(decoded_at) < 0).any()
    stated = (film.duration or 0) / 1e6
    passed = end - (film.start_time or 0) / 1e6
    if is_cut or (is_timed and passed < SHORTEST * stated):
        note(damages, f"it ends after {passed:.1f} s of {stated:.1f} s")
    return sorted(times) if is_timed else None


def _decoded(film: Any, stream: Any, damages: list[str] | None) -> Iterator[Any]:
    """Decodes a film; continues after damaged parts unless `damages` is None."""
    import av.error  # pyright: ignore[reportMissingImports]

    packets = film.demux(stream)
    while True:
        frames = []
        try:
            packet = next(packets, None)
            if packet is None:
                return
            frames = packet.decode()
        except av.error.FFmpegError as error:
            note(damages, error.strerror or "it is damaged")
        yield from frames


def _nearest(
    timed: Iterator[tuple[int | None, Any]], wanted: list[int], stream: Any
) -> list[Image.Image]:
    """Makes images of the frames nearest to the wanted times, both in order."""
    images: list[Image.Image] = []
    before: tuple[int, Any] | None = None

    def show(frame: Any, until: float) -> None:
        waiting = [time for time in wanted[len(images) :] if time <= until]
        if waiting:
            images.extend([_shown(frame, stream)] * len(waiting))

    for time, frame in timed:
        if time is None:
            continue
        # A damaged film may lack a wanted frame.
        if before is not None:
            show(before[1], (before[0] + time) / 2 if before[0] < time else before[0])
        if len(images) == len(wanted):
            return images
        before = time, frame
    if before is None:
        raise ValueError("no frame in it")
    show(before[1], np.inf)
    return images


def note(damages: list[str] | None, damage: str) -> None:
    """Collects a message about damage if the rest is to be read.

    Raises:
        ValueError: if damages is None.
    """
    if damages is None:
        raise ValueError(damage)
    damages.append(damage)


def _shown(frame: Any, stream: Any) -> Image.Image:
    """Makes an image of a frame, with square pixels and upright."""
    if any(component.is_alpha for component in frame.format.components):
        image = Image.fromarray(frame.to_ndarray(format="rgba"))
    else:
        image = frame.to_image()
    aspect = float(stream.sample_aspect_ratio or 1)
    if aspect != 1 and 0.1 < aspect < 10:  # other values are damage
        image = image.resize((max(1, round(image.width * aspect)), image.height))
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return image
    # (x, y) maps to (a x + c y, b x + d y), by ISO 14496-12.
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        image, a, d = image.transpose(Transpose.TRANSPOSE), c, b
    if a < 0:
        image = image.transpose(Transpose.FLIP_LEFT_RIGHT)
    return image.transpose(Transpose.FLIP_TOP_BOTTOM) if d < 0 else image
