"""Being asked to stop: a training ends at the end of a step, with everything saved."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(KeyboardInterrupt):
    """A training was asked to stop, has saved what is needed to go on, and has stopped.

    Attributes:
        exit_code: 128 + the signal's number, as shells report it: 143 for SIGTERM, 130 for SIGINT.
    """

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class Interruption:
    """Notes a SIGTERM or SIGINT while it is entered, instead of ending the process.

    A second signal ends the process at once, whatever it does. Signals are the main thread's: in
    any other one nothing is caught.

    Attributes:
        requested: the number of the signal that came, None if none did.
    """

    def __init__(self) -> None:
        self.requested: int | None = None
        self._at_once = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]

    def check(self) -> None:
        """Raises `Interrupted` if a signal came."""
        if self.requested is not None:
            raise Interrupted(self.requested)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Raises `Interrupted` in the midst of what is done inside, for it can be done again."""
        self.check()
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = number
        for again in _SIGNALS:
            signal.signal(again, signal.SIG_DFL)
        if self._at_once:
            raise Interrupted(number)
