"""Accounts of a training's wall time."""

import contextlib
import functools
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import jax

from flax_transformer.whole_files import written_whole

Part = Literal["start", "compile", "data", "step", "evaluation", "checkpoint", "lost"]
PARTS: dict[Part, str] = {
    "start": "starting",
    "compile": "compiling",
    "data": "waiting for data",
    "step": "training steps",
    "evaluation": "evaluation",
    "checkpoint": "checkpoints",
    "lost": "lost to restarts",
}
_COMPILING = "/jax/core/compile/"


class TimeAccounts:
    """Divides the time of a training among its parts, over all its interruptions.

    Work between the last checkpoint and an interruption must be repeated: its time counts as lost.
    The time between two processes is not counted.

    Args:
        path: file of the accounts; None if another process writes them.
    """

    def __init__(self, path: Path | None):
        self._path = path
        self._seconds: dict[Part, float] = dict.fromkeys(PARTS, 0.0)
        self._part: Part = "start"
        self._since = time.perf_counter()
        self._compiled: list[tuple[float, float]] = []

    def __enter__(self) -> "TimeAccounts":
        _listen()
        _OPEN.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        _OPEN.remove(self)

    @contextlib.contextmanager
    def of(self, part: Part) -> Iterator[None]:
        """Counts the time within this context for a part, except its compilations."""
        around = self._switch(part)
        try:
            yield
        finally:
            self._switch(around)

    def seconds(self) -> dict[Part, float]:
        """The seconds of every part so far."""
        self._switch(self._part)
        return {part: round(seconds, 3) for part, seconds in self._seconds.items()}

    def continue_from(self, saved: Mapping[Part, float]) -> None:
        """Adopts the accounts of an earlier process.

        Args:
            saved: the accounts of the checkpoint from which this process continues; the time after
                it in the file is lost.
        """
        try:
            last = json.loads(self._path.read_text()) if self._path else {}
            beyond = sum(map(float, last.values())) - sum(saved.values())
        except (OSError, ValueError, TypeError, AttributeError):
            beyond = 0.0  # no file, or one cut off by a crash
        for part in PARTS:
            self._seconds[part] += saved.get(part, 0.0)
        self._seconds["lost"] += max(beyond, 0.0)

    def write(self) -> None:
        """Saves the accounts to the file, if this process writes them."""
        if self._path is None:
            return
        with written_whole(self._path) as file:
            file.write_text(json.dumps(self.seconds(), indent=2) + "\n")

    def report(self) -> str:
        """Summarizes the times in one line."""
        seconds = self.seconds()
        shares = [f"{PARTS[part]} {value:,.1f}" for part, value in seconds.items() if value >= 0.05]
        return f"{sum(seconds.values()):,.1f} s: {', '.join(shares)}"

    def _switch(self, part: Part) -> Part:
        """Counts the time since the last call; returns the part."""
        before, now = self._part, time.perf_counter()
        compiled = sum(end - max(start, self._since) for start, end in self._compiled)
        self._seconds["compile"] += compiled
        self._seconds[before] += max(now - self._since - compiled, 0.0)
        self._part, self._since, self._compiled = part, now, []
        return before

    def _note_compilation(self, seconds: float) -> None:
        now = time.perf_counter()
        start = now - seconds
        # Compilations are nested: the time of inner ones is not counted again.
        while self._compiled and self._compiled[-1][0] >= start:
            self._compiled.pop()
        self._compiled.append((start, now))


_OPEN: list[TimeAccounts] = []


@functools.cache
def _listen() -> None:
    """Reports compilations to open accounts, from now on: jax 0.7.2 cannot remove a listener."""
    jax.monitoring.register_event_duration_secs_listener(_tell_of_compilation)


def _tell_of_compilation(event: str, duration_secs: float, **_: str | int) -> None:
    if event.startswith(_COMPILING):
        for accounts in _OPEN:
            accounts._note_compilation(duration_secs)
