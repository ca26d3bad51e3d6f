"""Errors of a disk or a bucket into which a checkpoint is written."""

import contextlib
import os
import tempfile
from collections.abc import Iterator

from etils import epath

from flax_transformer.errors import UserError, first_line
from flax_transformer.training.checkpoints.checkpoint_place import (
    complete_steps,
    explained_access,
    is_on_disk,
)


@contextlib.contextmanager
def explained_writes(directory: epath.Path) -> Iterator[None]:
    """Turns file-system errors into one line; Orbax raises them at the next call."""
    if not is_on_disk(directory):
        with explained_access(directory, "write a checkpoint into"):
            yield
        return
    try:
        yield
    # The C++ library below Orbax raises a ValueError with the system's message.
    except (OSError, ValueError) as error:
        # Not `steps`, which leaves out checkpoints that would have been deleted after this one.
        steps = complete_steps(directory)
        kept = f"the last one, of step {max(steps)}, is whole" if steps else "there is none yet"
        raise UserError(
            f"cannot write a checkpoint into {directory} ({first_line(error)}); {kept}: "
            "make room, or make the folder writable, and give the same command again"
        ) from error


def check_room(directory: epath.Path, num_bytes: int) -> None:
    """Fails if a folder cannot store a file of num_bytes bytes; a bucket always can.

    An error before Orbax begins is clearer, and leaves no coroutine unawaited, for which Python
    would print a warning.
    """
    if not is_on_disk(directory):
        return
    with tempfile.TemporaryFile(dir=directory) as file:
        # Not available on every system. Unlike the free space of a disk it respects quotas and
        # limits.
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(file.fileno(), 0, max(num_bytes, 1))
            except OSError as error:
                needed = f"{error.strerror} for {num_bytes / 1e6:,.1f} MB"
                raise OSError(error.errno, needed) from error
