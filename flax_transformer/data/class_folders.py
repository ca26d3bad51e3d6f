"""What data sets of a user's own folders share: SPLIT/CLASS/EXAMPLE, an example a path."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from flax_transformer.data.image_files import read_file
from flax_transformer.data.labelled import describe, number_examples
from flax_transformer.errors import UserError, unknown

SPLITS = ("train", "validation", "test")
Found = dict[str, dict[str, list[Path]]]  # paths by split and class


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


class ClassFolders(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Examples from FOLDER/SPLIT/CLASS/EXAMPLE, prepared once for each shape and state of them.

    The splits are train and, where they are, validation and test; the classes are train's, in
    alphabetical order.
    """

    VERSION = tfds.core.Version("1.0.0")
    KIND: ClassVar[ExampleKind]

    def __init__(self, folder: str, shape: tuple[int, ...], **kwargs: Any):
        """Takes the folder, and the shape that its examples get."""
        self._shape = shape
        self._paths = find_examples(Path(folder).expanduser(), self.KIND)
        name = f"{'x'.join(map(str, shape))}_{state(self._paths)}"
        super().__init__(config=tfds.core.BuilderConfig(name=name), **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        name = self.KIND.name
        feature = tfds.features.Tensor(shape=self._shape, dtype=np.uint8, encoding="zlib")
        title = f"{name.capitalize()}s by class."
        return describe(self, title, name, feature, tuple(self._paths["train"]))

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        return {split: self._generate_examples(paths) for split, paths in self._paths.items()}

    def _generate_examples(
        self, classes: dict[str, list[Path]]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        advice = "mend it, or take it away."
        paths = (path for inner in classes.values() for path in inner)
        read = (read_file(path, self._shape, advice) for path in paths)
        labels = (name for name, inner in classes.items() for _ in inner)
        return number_examples(self.KIND.name, read, labels)


def find_examples(folder: Path, kind: ExampleKind) -> Found:
    """Gives the paths of every split and class, all in alphabetical order.

    Raises:
        UserError: if folders are not as `ClassFolders` says, or one of a class has no example.
    """
    splits = _folders(folder, kind)
    wanted = f"train/CLASS/{kind.name.upper()}"
    for split in splits:
        if split not in SPLITS:
            raise unknown(f"split in {folder}", split, SPLITS)
    if "train" not in splits:
        raise UserError(f"{folder} has no folder train: put {kind.name}s as {wanted} in it.")
    found = {split: _classes(splits[split], kind) for split in SPLITS if split in splits}
    if len(found["train"]) < 2:
        raise UserError(
            f"{splits['train']} has {len(found['train'])} folders: give each of at least two "
            f"classes one, with its {kind.name}s."
        )
    for split, classes in found.items():
        for name in classes:
            if name not in found["train"]:
                raise unknown(f"class in {splits[split]}", name, found["train"])
    return found


def _folders(folder: Path, kind: ExampleKind) -> dict[str, Path]:
    try:
        inner = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        raise UserError(
            f"cannot read {folder} ({error.strerror}): give a folder with "
            f"train/CLASS/{kind.name.upper()}."
        ) from None
    return {path.name: path for path in inner if not path.name.startswith(".")}


def _classes(folder: Path, kind: ExampleKind) -> dict[str, list[Path]]:
    classes = {}
    for name, inner in _folders(folder, kind).items():
        paths = sorted(path for path in inner.iterdir() if kind.is_one(path))
        if not paths:
            raise UserError(f"{inner} has no {kind.name} ({kind.known}): put some in it.")
        classes[name] = paths
    return classes


def state(found: Found) -> str:
    """Names the state of examples by their paths, sizes and times.

    Reading all of them at every start, to name their contents, would take minutes.
    """
    digest = hashlib.sha256()
    for classes in found.values():
        for path in (path for paths in classes.values() for path in paths):
            for file in sorted(path.iterdir()) if path.is_dir() else [path]:
                stat = file.stat()
                digest.update(repr((str(file), stat.st_size, stat.st_mtime_ns)).encode())
    return digest.hexdigest()[:16]
