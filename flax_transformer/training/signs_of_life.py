"""Every process says that it lives, so that the first one can name a process that has died.

JAX ends the others after a while, but does not say this in a line.
"""

import sys
import threading
import time

import jax

from flax_transformer.training.coordination import CoordinationError, get, put

SECONDS_BETWEEN = 2.0
SECONDS_OF_SILENCE = 10.0
SECONDS_TO_ANSWER = 0.1


class SignsOfLife:
    """A thread that gives signs of life and, in the first process, listens to the others.

    Args:
        seconds: time after which all processes end if one is silent, for the message.
    """

    def __init__(self, seconds: int):
        self._seconds = seconds
        self._ended = threading.Event()
        self._heard: dict[int, tuple[int | None, float]] = {}
        self._silent: set[int] = set()
        threading.Thread(target=self._live, daemon=True).start()

    def close(self) -> None:
        """Ends the thread."""
        self._ended.set()

    def _live(self) -> None:
        number, own = 0, jax.process_index()
        while not self._ended.wait(SECONDS_BETWEEN):
            number += 1
            try:
                put(f"alive/{own}", number, again=True)
                if own == 0:
                    for process in range(1, jax.process_count()):
                        self._listen(process)
            except CoordinationError:
                return  # the first process has ended

    def _listen(self, process: int) -> None:
        number, now = _number_of(process), time.monotonic()
        last, since = self._heard.setdefault(process, (number, now))
        if number != last:
            self._heard[process] = number, now
            self._silent.discard(process)
        elif now - since > SECONDS_OF_SILENCE and process not in self._silent:
            self._silent.add(process)
            print(
                f"process {process} has not answered for {SECONDS_OF_SILENCE:.0f} s: if it was "
                f"killed or is cut off, all processes end after {self._seconds} s; the same "
                "command continues from the last checkpoint",
                file=sys.stderr,
                flush=True,
            )


def _number_of(process: int) -> int | None:
    """Returns the last sign of a process; None if it has not given one."""
    try:
        return get(f"alive/{process}", SECONDS_TO_ANSWER)
    except CoordinationError:
        return None
