"""Ctrl-C while the program starts, and in callbacks that would swallow it."""

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
SECONDS_OF_A_CALLBACK = 0.05


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


def show_unraisable(unraisable: Any) -> None:
    """Repeats a Ctrl-C that a callback has swallowed; reports other errors that cannot be raised.

    It replaces `sys.unraisablehook`.
    """
    value = unraisable.exc_value
    if type(value) is KeyboardInterrupt:
        # In a callback of the garbage collector, such as JAX's: again, when the callback is over.
        _interrupt_again()
    # A training has noted its own kind of interruption, and will end.
    elif not isinstance(value, KeyboardInterrupt) and str(value) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)


def _interrupt_again() -> None:
    """Sends SIGINT until its handler has run.

    Once is not enough: Python may notice the signal only after the next call, which may wait long.
    """
    handler, is_handled = signal.getsignal(signal.SIGINT), threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        is_handled.set()
        signal.signal(signal.SIGINT, handler)
        if callable(handler):
            handler(number, frame)

    def send() -> None:
        while not is_handled.wait(SECONDS_OF_A_CALLBACK):
            os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, handle)
    threading.Thread(target=send, daemon=True).start()


def _end(number: int, frame: FrameType | None) -> None:
    # Not through `print`: the signal may come while something is printed.
    os.write(2, b"interrupted\n")
    os._exit(EXIT_INTERRUPTED)
