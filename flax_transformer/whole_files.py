"""Atomic writing: a reader sees the old file or the new one, never a partial file."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flax_transformer.errors import UserError


def check_folder(path: Path, kind: str) -> None:
    """Rejects a path in a folder that does not exist.

    Args:
        path: of the file.
        kind: of file, in one word, for the error.

    Raises:
        UserError: if the folder does not exist.
    """
    if not path.parent.is_dir():
        raise UserError(f"no folder {path.parent} for the {kind} {path.name}: make it first")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yields a temporary path to write to; its file replaces the target at the end.

    Args:
        path: of the target, which is unchanged if writing fails.

    Raises:
        IsADirectoryError: if the path is a folder.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    # In the folder of the target: os.replace is atomic only within one file system.
    unfinished = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
