"""Finds examples in a user's own folders, SPLIT/CLASS/EXAMPLE, and lists the other files."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from flax_transformer.data.files.clips import is_clip, is_image
from flax_transformer.data.files.example_files import Found
from flax_transformer.data.files.folders import sort_out, visible
from flax_transformer.errors import UserError, unknown

# What the folder of each split may be called.
SPLITS = {"train": ("train",), "validation": ("validation", "valid", "val"), "test": ("test",)}


class ExampleKind(NamedTuple):
    """What lies in the folders.

    Attributes:
        name: of an example, image or video.
        is_one: whether a path is an example; others may lie beside.
        known: says which are.
    """

    name: str
    is_one: Callable[[Path], bool]
    known: str


IMAGE = ExampleKind("image", is_image, ".jpg, .png, .tif and others that Pillow reads")
VIDEO = ExampleKind(
    "video", is_clip, ".mp4, .mov, .gif and others that PyAV and Pillow read, or a folder of images"
)


def find_examples(folder: Path, kind: ExampleKind) -> tuple[Found, list[Path]]:
    """Gives the paths of every split and class, all in natural order, and the other files.

    Raises:
        UserError: if folders are not SPLIT/CLASS/EXAMPLE, or a class has no example.
    """
    passed_over: list[Path] = []
    splits = _splits(folder, kind, passed_over)
    paths = {split: _classes(inner, kind, passed_over) for split, inner in splits.items()}
    if len(paths["train"]) < 2:
        raise UserError(
            f"{splits['train']} has {len(paths['train'])} folders: give each of at least two "
            f"classes one, with its {kind.name}s."
        )
    for split, classes in paths.items():
        for name in classes:
            if name not in paths["train"]:
                raise unknown(f"class in {splits[split]}", name, paths["train"])
    return paths, passed_over


def _splits(folder: Path, kind: ExampleKind, passed_over: list[Path]) -> dict[str, Path]:
    """The folder of each split."""
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
        wanted = f"train/CLASS/{kind.name.upper()}"
        raise UserError(f"{folder} has no folder train: put {kind.name}s as {wanted} in it.")
    return {split: splits[split] for split in SPLITS if split in splits}


def _folders(folder: Path, kind: ExampleKind, passed_over: list[Path]) -> list[Path]:
    try:
        inner = visible(folder)
    except OSError as error:
        raise UserError(
            f"cannot read {folder} ({error.strerror}): give a folder with "
            f"train/CLASS/{kind.name.upper()}."
        ) from None
    passed_over += [path for path in inner if not path.is_dir()]
    return [path for path in inner if path.is_dir()]


def find_classes(folder: Path, kind: ExampleKind) -> tuple[dict[str, list[Path]], list[Path]]:
    """Gives the examples of every class of a folder CLASS/EXAMPLE, and the other files.

    Raises:
        UserError: if a folder cannot be read, or a class has no example.
    """
    passed_over: list[Path] = []
    return _classes(folder, kind, passed_over), passed_over


def _classes(folder: Path, kind: ExampleKind, passed_over: list[Path]) -> dict[str, list[Path]]:
    classes = {}
    for inner in _folders(folder, kind, passed_over):
        examples, others = examples_in(inner, kind)
        passed_over += others
        if not examples:
            raise UserError(f"{inner} has no {kind.name} ({kind.known}): put some in it.")
        classes[inner.name] = examples
    return classes


def examples_in(folder: Path, kind: ExampleKind) -> tuple[list[Path], list[Path]]:
    """Gives the examples in a folder, at any depth, and the other files.

    Raises:
        UserError: if a folder cannot be read.
    """
    try:
        return sort_out(folder, kind.is_one)
    except OSError as error:
        raise UserError(
            f"cannot read {error.filename} ({error.strerror}): make it readable, or take it away"
        ) from None
