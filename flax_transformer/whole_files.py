"""Files that a reader sees whole: the old one or the new one, never half of one."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flax_transformer.errors import UserError


def check_folder(path: Path, kind: str) -> None:
    """Refuses a path whose folder does not exist.

    Args:
        path: of the file.
        kind: what the file is, in a word.

    Raises:
        UserError: names the folder.
    """
    if not path.parent.is_dir():
        raise UserError(f"no folder {path.parent} for the {kind} {path.name}: make it first")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Gives a path to write to, whose file takes the place of another at the end.

    Args:
        path: of the file to replace; if writing fails it stays as it is.

    Raises:
        IsADirectoryError: if the path is a folder.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    # Beside the target, because os.replace is atomic within one file system only.
    unfinished = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
