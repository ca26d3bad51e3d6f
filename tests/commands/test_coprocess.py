"""Commands that answer lines while the input is still open, in processes of their own."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small import PAIRS
from untrained import EXPERIMENTS, write_workdir

SECONDS = 240  # to wait for an answer: a hanging process fails, a busy machine does not


@pytest.fixture(scope="module")
def workdirs(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("untrained")
    names = ("texts", "masked", "language_model")
    return {name: write_workdir(folder / name, EXPERIMENTS[name]) for name in names}


@contextlib.contextmanager
def command(*words: object) -> Iterator[Any]:
    """Starts a command line; kills it at the end, or if it hangs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flax_transformer", *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    alarm = threading.Timer(SECONDS, process.kill)
    alarm.start()
    try:
        yield process
    finally:
        alarm.cancel()
        process.kill()
        process.communicate()


def ask(process: Any, line: str) -> str:
    """Writes a line and reads its answer."""
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return process.stdout.readline()


def end(process: Any) -> tuple[int, str, str]:
    """Closes the input; gives the exit code, the rest of the output, and the errors."""
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("texts", ["classify"]),
        ("masked", ["fill", "--batch-lines", "1"]),
        ("language_model", ["generate", "--length", "3", "--json"]),
        ("language_model", ["generate", "--length", "3", "--batch-lines", "1", "--json"]),
    ],
)
def test_a_line_is_answered_before_the_next_is_written(workdirs, name, words):
    lines = ["a[MASK]", "", "bad", "a[MASK]"]
    with command(*words, "--workdir", workdirs[name]) as process:
        answers = [ask(process, line) for line in lines]
        assert all(answer.endswith("\n") for answer in answers)
        assert end(process) == (0, "", "")
    if "--json" in words:
        records = [json.loads(answer) for answer in answers]
        assert [record["index"] for record in records] == [0, 1, 2, 3]
        assert [record["input"] for record in records] == lines
        answers = [record["outputs"] for record in records]
    assert answers[0] == answers[3] != answers[2]


@pytest.mark.usefixtures("trained")
def test_a_translator_answers_each_line_and_a_killed_one_leaves_its_answers(folder):
    with command("translate", "--workdir", folder / "run") as process:
        for pair in (PAIRS[3], PAIRS[0], PAIRS[3]):
            assert ask(process, pair.source) == pair.target + "\n"
        assert ask(process, "") == "\n"
        process.kill()
        assert process.stdout.read() == ""


def test_a_reader_that_leaves_ends_the_command_quietly(workdirs):
    with command("fill", "--workdir", workdirs["masked"], "--batch-lines", "1") as process:
        ask(process, "a[MASK]")
        process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            for _ in range(1000):
                process.stdin.write("a[MASK]\n")
                process.stdin.flush()
        assert process.wait(SECONDS) == 0
        assert process.stderr.read() == ""


def run_with(stdin: Any, *words: object) -> str:
    """Gives what a command prints with this standard input."""
    done = subprocess.run(
        [sys.executable, "-m", "flax_transformer", *map(str, words)],
        stdin=stdin,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_without_any_input_a_document_is_begun_but_an_empty_pipe_has_no_lines(workdirs, tmp_path):
    words = ["generate", "--length", "3", "--workdir", workdirs["language_model"]]
    begun = run_with(subprocess.DEVNULL, *words)
    assert begun == run_with(subprocess.DEVNULL, *words, "")
    assert begun.endswith("\n")
    assert len(begun) > 1
    (tmp_path / "empty").touch()
    with (tmp_path / "empty").open() as empty:
        assert run_with(empty, *words) == ""
    reading, writing = os.pipe()
    os.close(writing)
    with open(reading) as pipe:
        assert run_with(pipe, *words) == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_behind_standard_output_is_one_line(workdirs):
    words = [sys.executable, "-m", "flax_transformer", "classify", "--workdir", workdirs["texts"]]
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(
            [*words, "two"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert process.returncode == 2
    assert process.stderr == (
        "error: No space left on device: standard output cannot be written; make room for it\n"
    )


def test_a_mistake_at_a_terminal_is_one_line_without_escape_codes():
    pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "flax_transformer", "generate", "--hepl"]
    process = subprocess.run(words, stdin=theirs, stdout=theirs, stderr=theirs, check=False)
    os.close(theirs)
    printed = b""
    # Linux ends what a closed terminal has left to read by an error.
    with contextlib.suppress(OSError):
        while chunk := os.read(ours, 65_536):
            printed += chunk
    os.close(ours)
    assert process.returncode == 2
    assert printed.startswith(b"error: ")
    assert printed.count(b"\n") == 1
    assert b"\x1b" not in printed
