"""Ctrl-C while the program starts: the process ends at once, with one line."""

import os
import signal
from types import FrameType

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def end_at_once_if_interrupted() -> None:
    """Makes SIGINT end the process, instead of raising an error in the midst of an import.

    Such an error may leave a library half imported, or be swallowed: Python only prints what is
    raised in a callback of its garbage collector, and JAX has one. A process that was started to
    ignore SIGINT still does.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raise_if_interrupted() -> None:
    """Ends the effect of `end_at_once_if_interrupted`: work may have something to clean up."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: FrameType | None) -> None:
    # Not through `print`: the signal may come while something is printed.
    os.write(2, b"interrupted\n")
    os._exit(EXIT_INTERRUPTED)
