"""Runs a user's Python files: experiments, and files that register parts of their own."""

import contextlib
import importlib.util
import re
import runpy
import shlex
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flax_transformer.errors import UserError, near_file

# The files of --parts in this process. A process that it starts imports them too.
IMPORTED_PARTS: list[Path] = []


def run_file(path: Path) -> dict[str, Any]:
    """Runs a Python file and returns its global names.

    As with `python FILE`, it can import the files next to it.

    Raises:
        UserError: if the file fails.
    """
    with _folder_importable(path), _failure_located(path):
        return runpy.run_path(str(path))


def import_parts(path: Path) -> None:
    """Imports a Python file that registers parts, such as a positional scheme, once.

    Args:
        path: the file of --parts.

    Raises:
        UserError: if the file is missing or fails.
    """
    if not path.exists():
        near = near_file(path, path.parent.glob("*.py"))
        hint = f"did you mean '{near}'?" if near else "give the file that adds your parts"
        raise UserError(f"--parts {path} does not exist: {hint}")
    if path.suffix != ".py" or not path.is_file():
        raise UserError(f"--parts {path} is not a Python file: give the file that adds your parts")
    path = path.resolve()
    if path in IMPORTED_PARTS:
        return
    name = _free_name(path)
    spec: Any = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    with _folder_importable(path), _failure_located(path):
        spec.loader.exec_module(module)
    IMPORTED_PARTS.append(path)


def parts_options() -> str:
    """Returns the `--parts FILE` of each imported file, as a command line needs them, or ""."""
    folder = Path.cwd()
    shown = (
        path.relative_to(folder) if path.is_relative_to(folder) else path for path in IMPORTED_PARTS
    )
    return "".join(f" --parts {shlex.quote(str(path))}" for path in shown)


def parts_hint() -> str:
    """Says what to do about an unknown name that a file of `--parts` can add."""
    if IMPORTED_PARTS:
        return f"it is not added by{parts_options()}"
    return "if a Python file of yours adds the name, import it, or give --parts FILE"


def _free_name(path: Path) -> str:
    """Returns the file's name, with underscores if another module has it."""
    name = re.sub(r"\W", "_", path.stem)
    while name in sys.modules or _other_file(name) not in (None, str(path)):
        name += "_"
    return name


def _other_file(module: str) -> str | None:
    spec = importlib.util.find_spec(module)
    return spec and spec.origin


@contextlib.contextmanager
def _folder_importable(path: Path) -> Iterator[None]:
    folder = str(path.parent.absolute())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


@contextlib.contextmanager
def _failure_located(path: Path) -> Iterator[None]:
    """Reports an error of the file in one line, with its line number."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{_place(error, path)}: {type(error).__name__}: {reason}; correct the file"
        ) from error


def _place(error: Exception, path: Path) -> str:
    """The file and the line that failed; a SyntaxError already names its line."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return f"{path}, line {lines[-1]}" if lines else str(path)
