"""Labeled examples in a user's own folders, SPLIT/CLASS/EXAMPLE: found, and read in one pass."""

import contextlib
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from flax_transformer.data.files.clips import DAMAGED, is_clip, is_image, reason
from flax_transformer.data.files.folders import name_some, sort_out, visible
from flax_transformer.data.files.reading_progress import show_progress
from flax_transformer.errors import UserError, unknown

Found = dict[str, dict[str, list[Path]]]  # paths by split and class
Read = Callable[[Path, list[str] | None], np.ndarray]
# Allowed names of the folder of each split.
SPLITS = {"train": ("train",), "validation": ("validation", "valid", "val"), "test": ("test",)}


class ExampleKind(NamedTuple):
    """A kind of example in folders.

    Attributes:
        name: name of an example, image or video.
        is_one: returns whether a path is an example; the folder may contain other files.
        known: the accepted files, in words.
    """

    name: str
    is_one: Callable[[Path], bool]
    known: str


IMAGE = ExampleKind("image", is_image, ".jpg, .png, .tif and others that Pillow reads")
VIDEO = ExampleKind(
    "video", is_clip, ".mp4, .mov, .gif and others that PyAV and Pillow read, or a folder of images"
)


def find_examples(folder: Path, kind: ExampleKind) -> tuple[Found, list[Path]]:
    """Returns the paths of every split and class, in natural order, and the other files.

    Raises:
        UserError: if folders are not SPLIT/CLASS/EXAMPLE, or a class has no example.
    """
    passed_over: list[Path] = []
    splits = _splits(folder, kind, passed_over)
    paths = {split: find_classes(inner, kind, passed_over) for split, inner in splits.items()}
    if len(paths["train"]) < 2:
        raise UserError(
            f"{splits['train']} has {len(paths['train'])} folders: give each of at least two "
            f"classes one, with its {kind.name}s"
        )
    for split, classes in paths.items():
        for name in classes:
            if name not in paths["train"]:
                raise unknown(f"class in {splits[split]}", name, paths["train"])
    return paths, passed_over


def _splits(folder: Path, kind: ExampleKind, passed_over: list[Path]) -> dict[str, Path]:
    """Returns the folder of each split."""
    meaning = {name: split for split, names in SPLITS.items() for name in names}
    splits: dict[str, Path] = {}
    for inner in _folders(folder, kind, passed_over):
        split = meaning.get(inner.name.lower())
        if split is None:
            raise unknown(f"split in {folder}", inner.name, meaning)
        if split in splits:
            raise UserError(
                f"{splits[split]} and {inner} are both folders of {split}: move the {kind.name}s "
                "of one into the other"
            )
        splits[split] = inner
    if "train" not in splits:
        raise UserError(
            f"{folder} has no folder train: put {kind.name}s as train/CLASS/{kind.name.upper()} "
            "in it"
        )
    return {split: splits[split] for split in SPLITS if split in splits}


def _folders(folder: Path, kind: ExampleKind, passed_over: list[Path]) -> list[Path]:
    try:
        inner = visible(folder)
    except OSError as error:
        raise UserError(
            f"cannot read {folder} ({error.strerror}): give a folder with "
            f"train/CLASS/{kind.name.upper()}"
        ) from None
    passed_over += [path for path in inner if not path.is_dir()]
    return [path for path in inner if path.is_dir()]


def find_classes(folder: Path, kind: ExampleKind, passed_over: list[Path]) -> dict[str, list[Path]]:
    """Returns the examples of every class of a folder CLASS/EXAMPLE.

    Args:
        folder: folder with the class folders.
        kind: kind of the examples.
        passed_over: collects the other files.

    Raises:
        UserError: if a folder cannot be read, or a class has no example.
    """
    classes = {}
    for inner in _folders(folder, kind, passed_over):
        examples, others = examples_in(inner, kind)
        passed_over += others
        if not examples:
            raise UserError(f"{inner} has no {kind.name} ({kind.known}): put some in it")
        classes[inner.name] = examples
    return classes


def examples_in(folder: Path, kind: ExampleKind) -> tuple[list[Path], list[Path]]:
    """Returns the examples in a folder, at any depth, and the other files.

    Raises:
        UserError: if a folder cannot be read.
    """
    try:
        return sort_out(folder, kind.is_one)
    except OSError as error:
        raise UserError(
            f"cannot read {error.filename} ({error.strerror}): make it readable, or take it away"
        ) from None


def read_examples(
    found: Found, read: Read, *, skip_bad_files: bool | None
) -> Iterator[tuple[str, str, np.ndarray]]:
    """Reads the examples of every split, one split after the other.

    Args:
        found: paths by split and class.
        read: reads an example; its second argument is None, or collects messages about damage
            while the rest of the example is read.
        skip_bad_files: whether unreadable files are left out; None without such an option.

    Yields:
        The split, the class and the pixels of each readable example.

    Raises:
        UserError: after all files are read, if some are bad and may not be left out, or if all
            files of a class are bad.
    """
    bad: list[str] = []  # unreadable files, and why
    damaged: list[str] = []  # partly read files
    for split, classes in found.items():
        counts = Counter()
        pairs = [(name, path) for name, paths in classes.items() for path in paths]
        # Closing removes the progress bar, even after an error.
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
        number = len(bad)
        those, it = (f"{number:,} files: ", "them") if number > 1 else ("", "it")
        option = f"take {it} away, or give --data.skip-bad-files to leave {it} out"
        advice = option if skip_bad_files is not None else f"or take {it} away"
        raise UserError(f"cannot read {those}{name_some(bad)}: fix {it}, {advice}")
    total = sum(len(paths) for classes in found.values() for paths in classes.values())
    for outcome, names in (("left out", bad), ("read a part of", damaged)):
        if names:
            warnings.warn(
                f"{outcome} {len(names):,} of {total:,} files: {name_some(names)}", stacklevel=2
            )
