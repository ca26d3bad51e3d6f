"""Errors of a disk on which a checkpoint is written."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from flax_transformer.errors import UserError


@contextlib.contextmanager
def explained_writes(directory: Path) -> Iterator[None]:
    """Turns file-system errors into one line; Orbax raises them at the next call."""
    try:
        yield
    # The C++ library below Orbax raises a ValueError with the system's message.
    except (OSError, ValueError) as error:
        # Not `steps`, which leaves out checkpoints that would have been deleted after this one.
        steps = [int(path.name) for path in directory.glob("*") if path.name.isdecimal()]
        kept = f"the last one, of step {max(steps)}, is whole" if steps else "there is none yet"
        raise UserError(
            f"cannot write a checkpoint into {directory} ({first_line(error)}); {kept}: "
            "make room, or make the folder writable, and give the same command again"
        ) from error


def check_room(directory: Path, num_bytes: int) -> None:
    """Fails if a folder cannot store a file of num_bytes bytes.

    An error before Orbax begins is clearer, and leaves no coroutine unawaited, for which Python
    would print a warning.
    """
    with tempfile.TemporaryFile(dir=directory) as file:
        # Not available on every system. Unlike the free space of a disk it respects quotas and
        # limits.
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(file.fileno(), 0, max(num_bytes, 1))
            except OSError as error:
                needed = f"{error.strerror} for {num_bytes / 1e6:,.1f} MB"
                raise OSError(error.errno, needed) from error


def first_line(error: BaseException) -> str:
    """Returns the type and the first line of an error."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
