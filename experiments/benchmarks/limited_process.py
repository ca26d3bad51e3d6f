"""A process with a time limit, whose progress is shown while it runs."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, Literal, NamedTuple

Status = Literal["done", "failed", "out of time"]
SECONDS_OF_A_BEAT = 15.0
NUM_LAST_LINES = 20


class Ended(NamedTuple):
    """What a process left behind.

    Attributes:
        status: failed if its exit code was not 0.
        seconds: from its start to its end.
        printed: its standard output.
        last_lines: the last lines of its standard error.
        reason: why it is not done, in one line; empty if it is.
    """

    status: Status
    seconds: float
    printed: str
    last_lines: Sequence[str]
    reason: str


def run_limited(
    words: Sequence[str],
    limit_s: float,
    say: Callable[[str], None],
    settings: Mapping[str, str] | None = None,
    folder: str | os.PathLike[str] | None = None,
) -> Ended:
    """Runs Python with these words, and ends it and all that it started after its limit.

    Args:
        words: the arguments of Python.
        limit_s: seconds that it may take.
        say: prints a line of progress; it gets every line of standard error, and regularly the
            time.
        settings: environment variables, added to the user's.
        folder: to run in.
    """
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as printed:
        with _started(words, printed, settings or {}, folder) as process:
            last_lines: deque[str] = deque(maxlen=NUM_LAST_LINES)
            assert process.stderr is not None
            reader = threading.Thread(target=_repeat, args=(process.stderr, last_lines, say))
            reader.start()
            in_time = _wait(process, started, limit_s, say)
        reader.join()
        printed.seek(0)
        text = printed.read()
    status, reason = _judge(process.returncode, in_time, limit_s, last_lines)
    return Ended(status, time.perf_counter() - started, text, [*last_lines], reason)


@contextlib.contextmanager
def _started(
    words: Sequence[str],
    printed: IO[str],
    settings: Mapping[str, str],
    folder: str | os.PathLike[str] | None,
) -> Iterator[subprocess.Popen[str]]:
    """Yields a process in a group of its own, which ends with this block."""
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        stdout=printed,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, **settings},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            # The process has not been waited for, so the group's number is still its own.
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(
    process: subprocess.Popen[str], started: float, limit_s: float, say: Callable[[str], None]
) -> bool:
    """Returns whether the process ended within its limit."""
    while (left := started + limit_s - time.perf_counter()) > 0:
        try:
            process.wait(min(left, SECONDS_OF_A_BEAT))
            return True
        except subprocess.TimeoutExpired:
            say(f"{time.perf_counter() - started:.0f} s of at most {limit_s:.0f} s")
    return False


def _repeat(lines: Iterable[str], last_lines: deque[str], say: Callable[[str], None]) -> None:
    for line in lines:
        if line.strip():
            last_lines.append(line.rstrip())
            say(line.rstrip())


def _judge(
    code: int, in_time: bool, limit_s: float, last_lines: Sequence[str]
) -> tuple[Status, str]:
    if not in_time:
        return "out of time", f"it was ended after {limit_s:.0f} s"
    if code == 0:
        return "done", ""
    if code < 0:
        return "failed", f"it was ended by signal {-code}"
    return "failed", last_lines[-1].removeprefix("error: ") if last_lines else f"exit code {code}"
