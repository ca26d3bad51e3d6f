"""The command line of the program; all parsing is in this file."""

import contextlib
import dataclasses
import errno
import importlib.metadata
import io
import logging
import re
import shutil
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tyro

from flax_transformer.commands import COMMANDS, find_command, read_description
from flax_transformer.errors import UnknownPartError, UserError, unknown
from flax_transformer.option_values import option_values
from flax_transformer.parser_messages import PLAIN_WORDS, unframed, unknown_option
from flax_transformer.python_files import import_parts, parts_hint
from flax_transformer.runtime.start import EXIT_INTERRUPTED, raise_if_interrupted, show_unraisable

PROGRAM = "flax-transformer"
EXIT_USER_ERROR = 2
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
HELP = {"-h", "--help"}
PARTS = "--parts"
PARTS_HELP = f"{PARTS} FILE, with any command, first imports a Python file with parts of your own."


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command line; reports a user error in one line on standard error, with exit code 2."""
    name, *words = (sys.argv[1:] if argv is None else argv) or [""]
    with _mistakes_reported():
        if name in COMMANDS:
            _run(find_command(name), words, lambda: _defaults(name, words), f"{PROGRAM} {name}")
        elif name in HELP:
            print(_overview())
        elif name == "--version":
            print(importlib.metadata.version("flax_transformer"))
        elif name == "--completion":
            _print_completion(words)
        elif name:
            raise unknown("command", name, COMMANDS)
        else:
            raise UserError(f"no command: begin with one of {', '.join(COMMANDS)}")


def execute(command: type, words: list[str]) -> None:
    """Parses the arguments of a script with a single command and runs it like `main`.

    Args:
        command: a dataclass with a method `run`.
        words: the arguments without the program's name.
    """
    with _mistakes_reported():
        _run(command, words)


def _run(
    command: type,
    words: list[str],
    defaults: Callable[[], Any] = lambda: tyro.MISSING_NONPROP,
    program: str | None = None,
) -> None:
    words, files = _without_parts(words)
    # Help does not need JAX, so it does not wait for its import.
    if not HELP & set(words):
        _prepare_jax()
        for file in files:
            import_parts(file)
    parsed = _parse(command, words, default=defaults(), prog=program)
    raise_if_interrupted()
    parsed.run()


def _overview() -> str:
    """The help text: a summary of each command, by group."""
    width = shutil.get_terminal_size().columns
    groups: dict[str, str] = {}
    for name, (group, *_) in COMMANDS.items():
        summary = read_description(name).partition("\n\n")[0]
        line = textwrap.fill(f"  {name:15}{summary}", width, subsequent_indent=" " * 17)
        groups[group] = f"{groups.get(group, group)}\n{line}"
    return "\n\n".join(
        [
            f"usage: {PROGRAM} COMMAND ...",
            "Train Transformers, score them and use them.",
            *groups.values(),
            f"{PROGRAM} COMMAND --help explains a command and its options.\n{PARTS_HELP}\n"
            f"{PROGRAM} --completion bash|zsh|fish prints a script that completes all of them.",
        ]
    )


def _print_completion(words: list[str]) -> None:
    from flax_transformer.completion import completion_script

    if len(words) != 1:
        raise UserError("--completion needs the name of a shell: give bash, zsh or fish")
    print(completion_script(words[0], parser_script), end="")


def parser_script(kind: type) -> str:
    """Returns tyro's own completion script of a dataclass, for bash."""
    printed, words = io.StringIO(), ("--tyro-write-completion", "bash", "-")
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        tyro.cli(kind, prog=PROGRAM, args=words, registry=option_values())
    return printed.getvalue()


def _prepare_jax() -> None:
    from flax_transformer.runtime.process import (
        keep_compiled_programs,
        keep_freed_memory,
        run_one_program_at_a_time,
        spare_threads,
    )

    keep_freed_memory()
    run_one_program_at_a_time()
    spare_threads()
    keep_compiled_programs()


@contextlib.contextmanager
def _mistakes_reported() -> Iterator[None]:
    """Reports errors that a user can fix in one line, with an exit code; see `main`."""
    _prepare_output()
    try:
        yield
    except BrokenPipeError:
        # The reader of our output has closed it, as with `| head`: there is nowhere to report.
        sys.stderr.close()
    except (Exception, KeyboardInterrupt) as error:
        line, code = _reported(error)
        print(line, file=sys.stderr)
        sys.exit(code)


def _reported(error: BaseException) -> tuple[str, int]:
    """The line that reports an error, and the exit code; raises programming errors again."""
    if isinstance(error, UserError):
        hint = f"; {parts_hint()}" if isinstance(error, UnknownPartError) else ""
        return f"error: {error}{hint}", EXIT_USER_ERROR
    from jax.errors import JaxRuntimeError

    if isinstance(error, KeyboardInterrupt):
        return str(error) or "interrupted", getattr(error, "exit_code", EXIT_INTERRUPTED)
    if isinstance(error, JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error):
        reason = str(error).splitlines()[0].removeprefix("RESOURCE_EXHAUSTED: ").rstrip(".")
        return f"error: {reason}: give smaller sizes, or fewer tokens at a time", EXIT_USER_ERROR
    if isinstance(error, OSError) and error.filename is not None:
        line = f"error: {error.strerror}: {error.filename}; fix this, or give another path"
    elif isinstance(error, OSError) and error.errno in FULL:
        sys.stdout = None  # Python would try to flush its buffer at exit
        line = f"error: {error.strerror}: standard output cannot be written; make room for it"
    else:
        raise error
    return line, EXIT_USER_ERROR


def _prepare_output() -> None:
    """Prints UTF-8, one-line warnings, and no tracebacks of canceled reads or writes.

    When a read or write fails, Orbax closes the event loop on which others still run. The failed
    one is reported.
    """
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    sys.unraisablehook = show_unraisable
    for stream in (sys.stdout, sys.stderr):
        # The default encoding of an older system may lack letters.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _parse(command: type, words: list[str], **options: Any) -> Any:
    printed, helped = io.StringIO(), io.StringIO()
    options |= {"registry": option_values()}
    try:
        with contextlib.redirect_stderr(printed):
            return tyro.cli(command, args=words, **options)
    except SystemExit as stop:
        if not stop.code:
            # The other exit without an error prints a completion script.
            if HELP & set(words):
                print(PARTS_HELP)
            raise
    said = unframed(printed.getvalue())
    # tyro stops at a missing argument, although the argument may only be misspelled.
    if said.startswith(("Missing", "Unrecognized")):
        with contextlib.redirect_stdout(helped), contextlib.suppress(SystemExit):
            tyro.cli(command, args=["--help"], **options)
        known = [PARTS, *re.findall(r"--[a-z][\w.-]*", helped.getvalue())]
        said = unknown_option(words, known) or said
    for pattern, plain in PLAIN_WORDS.items():
        said = re.sub(pattern, plain, said)
    raise UserError(said)


def _defaults(command: str, words: list[str]) -> Any:
    """The command's defaults, from its experiment or workdir."""
    workdir = _option(words, "--workdir")
    if workdir == "":
        raise UserError("--workdir is empty: give a folder, such as runs/number_words")
    options = {field.name for field in dataclasses.fields(find_command(command))}
    if "experiment" in options:
        return _experiment_defaults(command, words)
    if "decoding" in options and workdir is not None:
        return _decoding_defaults(command, Path(workdir))
    return tyro.MISSING_NONPROP


def _experiment_defaults(command: str, words: list[str]) -> Any:
    from flax_transformer.conventions import apply_convention
    from flax_transformer.experiment import load_experiment
    from flax_transformer.presets import apply_preset
    from flax_transformer.training.checkpoints.model_of_run import take_model

    path = _experiment_file(words)
    if path is None:
        if HELP & set(words):
            return tyro.MISSING_NONPROP
        raise UserError(
            f"no experiment file: give one, {PROGRAM} {command} experiments/number_words.py"
        )
    experiment = load_experiment(path)
    changes = {"--preset": apply_preset, "--convention": apply_convention}
    for option, change in (changes | {"--init-from": take_model}).items():
        name = _option(words, option)
        if name is not None:
            experiment = change(experiment, name)
    return _partly_given(command, experiment_file=path, experiment=experiment)


def _decoding_defaults(command: str, workdir: Path) -> Any:
    from flax_transformer.decoding.search import DecodingConfig
    from flax_transformer.training.checkpoints.workdir import Workdir

    decoding = Workdir(workdir).load().decoding
    # Only `evaluate` also accepts models without a search.
    if command != "evaluate" and decoding is None:
        decoding = DecodingConfig()
    return _partly_given(command, workdir=workdir, decoding=decoding)


def _partly_given(command: str, **values: Any) -> Any:
    """A command with these values; options without a default are still required."""
    kind = find_command(command)
    required = [field for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING]
    return kind(**{field.name: tyro.MISSING for field in required} | values)


def _experiment_file(words: list[str]) -> Path | None:
    """The argument of `train`: the first word, or a .py or .json file after some options."""
    for place, word in enumerate(words):
        if not word.startswith("-") and (place == 0 or word.endswith((".py", ".json"))):
            return Path(word)
    return None


def _without_parts(words: list[str]) -> tuple[list[str], list[Path]]:
    """Returns the words without every `--parts FILE`, and these files."""
    others, files = [], []
    remaining = iter(words)
    for word in remaining:
        name, equals, value = word.partition("=")
        if name != PARTS:
            others.append(word)
            continue
        file = value if equals else next(remaining, "")
        if not file:
            raise UserError(f"{PARTS} is empty: give a Python file that adds parts of your own")
        files.append(Path(file))
    return others, files


def _option(words: list[str], name: str) -> str | None:
    """The value of an option, read before the command line as a whole is parsed."""
    for place, word in enumerate(words):
        if word == name:
            return next(iter(words[place + 1 :]), None)
        if word.startswith(f"{name}="):
            return word.removeprefix(f"{name}=")
    return None
