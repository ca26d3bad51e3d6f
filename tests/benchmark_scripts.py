"""What the tests of the benchmarks share: the scripts are no package, and run as users run them."""

import contextlib
import http.server
import importlib
import io
import json
import pathlib
import threading
import time
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import pytest

from flax_transformer.cli import execute

FOLDER = pathlib.Path(__file__).parents[1] / "experiments" / "benchmarks"


@contextlib.contextmanager
def imported(name: str) -> Iterator[ModuleType]:
    """A script, which finds the files beside it as it does when it is run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        yield importlib.import_module(name)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers requests without a log, which is not the tests' output."""

    def asked(self) -> Any:
        """The fields of a request."""
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, *args: Any) -> None:
        """Nothing is logged."""


@contextlib.contextmanager
def served(handler: type[Handler]) -> Iterator[int]:
    """Runs a service; gives its port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def turns_in_this_process() -> Iterator[None]:
    """Lets contenders take their turns in this process, which saves the time to start others."""
    turns = importlib.import_module("turns")

    def take_one_turn(contender: Any, num_repeats: int, num_warmups: int) -> Any:
        run = importlib.import_module(contender.module).make(**contender.job)
        facts, seconds = {}, []
        for _ in range(num_warmups + num_repeats):
            started = time.perf_counter()
            facts = run()
            seconds.append(time.perf_counter() - started)
        return turns.Taken(seconds[num_warmups:], 2**20, facts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(turns, "take_one_turn", take_one_turn)
        yield


def run_for_json(command: type, words: Sequence[str]) -> tuple[Any, str]:
    """The figures that the command of a script prints as JSON, and the progress that it tells."""
    with (
        contextlib.redirect_stdout(io.StringIO()) as printed,
        contextlib.redirect_stderr(io.StringIO()) as progress,
    ):
        execute(command, [*words, "--json"])
    return json.loads(printed.getvalue()), progress.getvalue()


def assert_refuses(command: type, words: Sequence[str], message: str) -> None:
    """Asserts that a script ends with one line that begins with the message."""
    with contextlib.redirect_stderr(io.StringIO()) as printed, pytest.raises(SystemExit, match="2"):
        execute(command, [*words])
    error = printed.getvalue()
    assert error.startswith(f"error: {message}"), error
    assert error.count("\n") == 1
