"""Files of labeled examples: all are read in one pass, and all bad ones are listed."""

import contextlib
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from flax_transformer.data.files.clips import DAMAGED, reason
from flax_transformer.data.files.folders import name_some
from flax_transformer.data.files.reading_progress import show_progress
from flax_transformer.errors import UserError

Found = dict[str, dict[str, list[Path]]]  # paths by split and class
Read = Callable[[Path, list[str] | None], np.ndarray]


def read_examples(
    found: Found, read: Read, *, skip_bad_files: bool, can_skip: bool = True
) -> Iterator[tuple[str, str, np.ndarray]]:
    """Reads the examples of every split, one split after the other.

    Args:
        found: paths by split and class.
        read: reads one; its second argument is None, or collects what is damaged while the rest of
            the example is read.
        skip_bad_files: whether files that cannot be read are left out.
        can_skip: whether there is an option to leave them out.

    Yields:
        The split, the class and the pixels of each example that can be read.

    Raises:
        UserError: once all files were read, if some are bad and are not to be left out, or all
            files of a class are bad.
    """
    bad: list[str] = []  # what cannot be read, and why
    damaged: list[str] = []  # what was read in part
    for split, classes in found.items():
        counts = Counter()
        pairs = [(name, path) for name, paths in classes.items() for path in paths]
        # Closing removes the progress bar, also after an error.
        with contextlib.closing(show_progress(f"reading {split}", pairs)) as shown:
            for name, path in shown:
                damages: list[str] | None = [] if skip_bad_files else None
                try:
                    pixels = read(path, damages)
                except DAMAGED as error:
                    bad.append(f"{path} ({reason(error)})")
                    continue
                damaged += [f"{path} ({damage})" for damage in (damages or [])[:1]]
                if skip_bad_files or not bad:
                    counts[name] += 1
                    yield split, name, pixels
        for name in classes:
            if skip_bad_files and not counts[name]:
                raise UserError(
                    f"cannot read any file of the class {name} in {split}: {name_some(bad)}: fix "
                    "them, or take the folder away"
                )
    if bad and not skip_bad_files:
        raise _refusal(bad, can_skip)
    total = sum(len(paths) for classes in found.values() for paths in classes.values())
    for told, names in (("left out", bad), ("read a part of", damaged)):
        if names:
            line = f"{told} {len(names):,} of {total:,} files: {name_some(names)}"
            warnings.warn(line, stacklevel=2)


def _refusal(bad: list[str], can_skip: bool) -> UserError:
    number = len(bad)
    those, it = (f"{number:,} files: ", "them") if number > 1 else ("", "it")
    advice = f"fix {it}, or take {it} away"
    if can_skip:
        advice = f"fix {it}, take {it} away, or give --data.skip-bad-files to leave {it} out"
    return UserError(f"cannot read {those}{name_some(bad)}: {advice}")
