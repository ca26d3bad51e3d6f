"""Files of labelled examples: all are read in one pass, and all bad ones are listed."""

import contextlib
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import numpy as np

from flax_transformer.data.files.clips import DAMAGED, reason
from flax_transformer.data.files.folders import name_some
from flax_transformer.data.files.reading_progress import show_progress
from flax_transformer.errors import UserError

Found = dict[str, dict[str, list[Path]]]  # paths by split and class
Read = Callable[[Path, list[str] | None], np.ndarray]


class ExampleFiles:
    """Reads the examples of every split, one split after the other.

    Args:
        found: paths by split and class.
        read: reads one; its second argument is None, or collects what is damaged while the rest of
            the example is read.
        skip_bad_files: whether files that cannot be read are left out.
        can_skip: whether there is an option to leave them out.
    """

    def __init__(self, found: Found, read: Read, *, skip_bad_files: bool, can_skip: bool = True):
        self._can_skip = can_skip
        self._found, self._read, self._skips = found, read, skip_bad_files
        self._unread = list(found)
        self._bad: list[str] = []  # what cannot be read, and why
        self._damaged: list[str] = []  # what was read in part

    def split(self, name: str) -> Iterator[tuple[str, np.ndarray]]:
        """Gives the class and the pixels of each example of a split that can be read.

        Raises:
            UserError: once all files were read, if some are bad and are not to be left out, or all
                files of a class are bad.
        """
        self._unread.remove(name)
        counts = Counter()
        with self._paths(name) as paths:
            for class_name, path in paths:
                pixels = self._pixels(path)
                if pixels is not None and (self._skips or not self._bad):
                    counts[class_name] += 1
                    yield class_name, pixels
        if self._bad and not self._skips:
            self._refuse()
        for class_name in self._found[name]:
            if not counts[class_name]:
                raise UserError(
                    f"cannot read any file of the class {class_name} in {name}: "
                    f"{name_some(self._bad)}: fix them, or take the folder away"
                )
        if not self._unread:
            self._tell()

    def _paths(self, split: str) -> contextlib.closing[Generator[tuple[str, Path], None, None]]:
        """Class and path of each example; closing removes the progress bar, also after an error."""
        pairs = [(name, path) for name, paths in self._found[split].items() for path in paths]
        return contextlib.closing(show_progress(f"reading {split}", pairs))

    def _pixels(self, path: Path) -> np.ndarray | None:
        damages: list[str] | None = [] if self._skips else None
        try:
            pixels = self._read(path, damages)
        except DAMAGED as error:
            self._bad.append(f"{path} ({reason(error)})")
            return None
        if damages:
            self._damaged.append(f"{path} ({damages[0]})")
        return pixels

    def _refuse(self) -> None:
        """Reports all bad files, also those of the splits that were not read yet."""
        for split in self._unread:
            with self._paths(split) as paths:
                for _, path in paths:
                    self._pixels(path)
        number = len(self._bad)
        those, it = (f"{number:,} files: ", "them") if number > 1 else ("", "it")
        advice = f"fix {it}, or take {it} away"
        if self._can_skip:
            advice = f"fix {it}, take {it} away, or give --data.skip-bad-files to leave {it} out"
        raise UserError(f"cannot read {those}{name_some(self._bad)}: {advice}")

    def _tell(self) -> None:
        total = sum(len(paths) for classes in self._found.values() for paths in classes.values())
        for told, names in (("left out", self._bad), ("read a part of", self._damaged)):
            if names:
                line = f"{told} {len(names):,} of {total:,} files: {name_some(names)}"
                warnings.warn(line, stacklevel=2)
