"""Graceful interruption: a training stops at the end of a step, with everything saved."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import jax

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(KeyboardInterrupt):
    """Raised after a training was asked to stop, saved its state, and stopped.

    Args:
        number: number of the signal.
        step: updates in the newest checkpoint; 0 if this process knows of none.

    Attributes:
        exit_code: 128 + the signal's number, as in shells: 143 for SIGTERM, 130 for SIGINT.

    Example:
        >>> str(Interrupted(signal.SIGTERM, 1200))
        'interrupted after step 1,200, which is saved: the same command continues from there'
    """

    def __init__(self, number: int, step: int = 0):
        super().__init__(
            f"interrupted after step {step:,}, which is saved: the same command continues from "
            "there"
            if step
            else "interrupted before a step was made: the same command prepares the training again"
        )
        self.exit_code = 128 + number


class Interruption:
    """Records a SIGTERM or SIGINT while the context is active, instead of ending the process.

    A second signal ends the process immediately. Only the main thread can receive signals: in other
    threads nothing is caught.

    Attributes:
        requested: the number of the received signal; None without a signal.
        saved_step: updates in the newest checkpoint, which the training sets; 0 before the first.
    """

    def __init__(self) -> None:
        self.requested: int | None = None
        self.saved_step = 0
        self._at_once = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]

    def asks_to_stop(self, step: int) -> bool:
        """Returns whether the training must stop after a step."""
        return self.requested is not None

    def check(self) -> None:
        """Raises `Interrupted` if a signal was received."""
        if self.requested is not None:
            raise Interrupted(self.requested, self.saved_step)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Raises `Interrupted` immediately within this context; its work can be repeated."""
        self.check()
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False
        # Python swallows what `_note` raises in a callback of its garbage collector.
        self.check()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = number
        for again in _SIGNALS:
            signal.signal(again, signal.SIG_DFL)
        if self._at_once:
            raise Interrupted(number, self.saved_step)


class SharedInterruption(Interruption):
    """Stops all processes of a training after the same step, if one of them receives a signal.

    JAX notices SIGTERM, which clusters send, and agrees with the other processes on a step. SIGINT
    counts as SIGTERM. Before the first step, signals have no effect.
    """

    def __enter__(self) -> "SharedInterruption":
        self._before = {signal.SIGINT: signal.signal(signal.SIGINT, _terminate)}
        return self

    def asks_to_stop(self, step: int) -> bool:
        """Returns whether the training must stop after a step: the same in all processes."""
        from jax.experimental import multihost_utils

        if multihost_utils.reached_preemption_sync_point(step):
            self.requested = signal.SIGTERM
        return self.requested is not None


def find_interruption() -> Interruption:
    """Returns how this training is interrupted: by signals to one process, or to any of several."""
    return Interruption() if jax.process_count() == 1 else SharedInterruption()


def _terminate(number: int, frame: FrameType | None) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
