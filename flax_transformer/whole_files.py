"""Atomic writing: a reader sees the old file or the new one, never a partial file."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flax_transformer.errors import UserError

UNFINISHED = ".unfinished"  # ends the names of temporary folders


def check_target(path: Path, kind: str, option: str = "") -> None:
    """Rejects a path at which no file can be written, before work is spent on its content.

    Args:
        path: of the file; that of a link stands for the file that the link names.
        kind: of file, in one word, for the error.
        option: that gives the path, for the error.

    Raises:
        UserError: if the folder does not exist, or the path is a folder, a device or a pipe.
    """
    if path.exists() and not path.is_file():
        named = f"{option} {path}".lstrip()
        raise UserError(f"{named} is not a file: give another name for the {kind}")
    target = _followed(path)
    if not target.parent.is_dir():
        raise UserError(f"no folder {target.parent} for the {kind} {target.name}: make it first")


def check_new_folder(path: Path, option: str = "") -> None:
    """Rejects a path that is neither free nor an empty folder.

    Args:
        path: of a folder to make.
        option: that gives the path, for the error.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"{option} {path} is not an empty folder: give another one".lstrip())


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yields a temporary path to write to; its file replaces the target at the end.

    Args:
        path: of the target, which is unchanged if writing fails. A link stays: the file that it
            names is the target.

    Raises:
        IsADirectoryError: if the path is a folder.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path = _followed(path)
    # In the folder of the target: os.replace is atomic only within one file system.
    unfinished = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    except OSError as error:
        # A full disk is reported without a name; otherwise it is one that a user does not know.
        if error.errno is not None and error.filename in (None, str(unfinished)):
            error.filename = str(path)
        raise
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def written_whole_folder(path: Path, option: str = "") -> Iterator[Path]:
    """Yields a temporary folder to write into; it becomes the target at the end.

    Args:
        path: of the target, which does not exist or is an empty folder. If writing fails, or the
            process is killed, it stays as it is; what a killed one has left is removed.
        option: that gives the path, for the error.

    Raises:
        UserError: if the target is anything else.
    """
    check_new_folder(path, option)
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{os.getpid()}.{path.name}{UNFINISHED}")
    lock = None
    try:
        _remove_abandoned(path)
        unfinished.mkdir()
        lock = _locked(unfinished)
        yield unfinished
        if path.exists():
            path.rmdir()  # os.replace needs a free name on some systems
        os.replace(unfinished, path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}): make room, or choose another "
            "place"
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _remove_abandoned(path: Path) -> None:
    """Removes the temporary folders of a target that no living process writes to."""
    name = re.compile(rf"\.\d+\.{re.escape(path.name)}{re.escape(UNFINISHED)}")
    for other in map(path.with_name, os.listdir(path.parent)):
        if name.fullmatch(other.name) and other.is_dir() and not other.is_symlink():
            lock = _locked(other)
            if lock is not None:
                shutil.rmtree(other, ignore_errors=True)
                os.close(lock)


def _locked(folder: Path) -> int | None:
    """Locks a folder until the result is closed or this process ends.

    Returns:
        A file descriptor; None if another process has the lock, or the system knows no such locks.
    """
    try:
        import fcntl

        number = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        return None
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(number)
        return None
    return number


def _followed(path: Path) -> Path:
    return Path(os.path.realpath(path)) if path.is_symlink() else path
