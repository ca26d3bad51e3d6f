"""The files in a user's folder, in natural order."""

import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Returns a key that sorts names by the numbers in them.

    Example:
        >>> sorted(["10.png", "2.png", "a.png", "1.png"], key=natural_key)
        ['1.png', '2.png', '10.png', 'a.png']
    """
    # Text and numbers alternate, so that a number is only compared with a number.
    parts = re.split(r"(\d+)", name)
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], name


def visible(folder: Path) -> list[Path]:
    """Lists a folder in natural order, without hidden and system files.

    Skips names that begin with a dot, such as the `._NAME` twins that macOS writes on other file
    systems, and the folder `__MACOSX` of its archives.

    Raises:
        OSError: if the folder cannot be read.
    """
    shown = (p for p in folder.iterdir() if not p.name.startswith(".") and p.name != "__MACOSX")
    return sorted(shown, key=lambda path: natural_key(path.name))


def sort_out(folder: Path, is_wanted: Callable[[Path], bool]) -> tuple[list[Path], list[Path]]:
    """Finds wanted and other files in a folder, at any depth and in natural order.

    Symbolic links are followed, and each folder is entered once.

    Args:
        folder: the folder to search.
        is_wanted: accepts a file, or a folder as a whole.

    Returns:
        The wanted paths, and the other files.

    Raises:
        OSError: if a folder cannot be read.
    """
    wanted: list[Path] = []
    others: list[Path] = []
    entered = set()

    def enter(folder: Path) -> None:
        stat = os.stat(folder)
        place = (stat.st_dev, stat.st_ino)
        if place in entered:
            return
        entered.add(place)
        for path in visible(folder):
            if is_wanted(path):
                wanted.append(path)
            elif path.is_dir():
                enter(path)
            else:
                others.append(path)

    enter(folder)
    return wanted, others


def files_in(folder: Path, endings: tuple[str, ...]) -> tuple[list[Path], list[Path]]:
    """Finds the files with these endings, in lower or upper case; see `sort_out`."""
    return sort_out(folder, lambda path: path.name.lower().endswith(endings) and path.is_file())


def name_some(names: list[str], most: int = 10) -> str:
    """Lists the first few of many names.

    Example:
        >>> name_some(["a", "b", "c"], 2)
        'a, b and 1 more'
    """
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def tell_passed_over(paths: list[Path], folder: Path, kind: str) -> None:
    """Warns about files that are not read."""
    if paths:
        files = f"{len(paths):,} file{'s' * (len(paths) > 1)}"
        names = name_some([str(path.relative_to(folder)) for path in paths])
        warnings.warn(f"skipped {files} in {folder}, not read as {kind}s: {names}", stacklevel=2)
