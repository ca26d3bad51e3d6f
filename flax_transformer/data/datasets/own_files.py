"""A user's own files for scoring a trained model, instead of a split of its data set."""

import dataclasses
import hashlib
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from flax_transformer.data.batches.examples import ArrayInputs, Examples
from flax_transformer.data.datasets.labeled_text import read_labeled, read_table
from flax_transformer.data.datasets.plain_text import check_size, find_documents
from flax_transformer.data.datasets.split import Pair
from flax_transformer.data.files.example_files import (
    SPLITS,
    ExampleKind,
    find_classes,
    read_examples,
)
from flax_transformer.data.files.folders import tell_passed_over
from flax_transformer.data.files.image_files import read_pixels
from flax_transformer.data.files.text_files import read_lines, read_parallel, read_raw_lines
from flax_transformer.errors import UserError, unknown

TABLES = (".csv", ".tsv")


@dataclasses.dataclass(frozen=True)
class OwnFiles:
    """The files for scoring; each kind of task reads some of these fields.

    Attributes:
        source: text file with sentences to translate, one a line.
        target: text files with their translations, line by line: one or several references.
        file: table of labeled texts, or a text.
        folder: folder with images or videos in class folders.
    """

    source: Path | None = None
    target: tuple[Path, ...] = ()
    file: Path | None = None
    folder: Path | None = None

    def paths(self) -> dict[str, str]:
        """The absolute paths of the files given: source, target, target_2 and so on."""
        names = ("target", *(f"target_{number}" for number in range(2, 1 + len(self.target))))
        targets = zip(names, self.target, strict=False)
        given = {"source": self.source, **dict(targets), "file": self.file, "folder": self.folder}
        return {
            name: str(path.expanduser().absolute())
            for name, path in given.items()
            if path is not None
        }

    def name(self) -> str:
        """Names the files, for use in a file name.

        Example:
            >>> OwnFiles(file=Path("/data/news.txt")).name()
            'news.txt-5f0f0e2f'
        """
        paths = list(self.paths().values())
        digest = hashlib.sha256("\n".join(paths).encode()).hexdigest()
        return f"{Path(paths[-1]).name[:100]}-{digest[:8]}"

    def take(self, *fields: str) -> list[str]:
        """Returns the paths of the fields that the task reads, further targets last.

        Raises:
            UserError: if one of these fields is missing, or another field is given.
        """
        given = self.paths()
        wanted = " and ".join(f"--{name}" for name in fields)
        for name in given:
            if name.partition("_")[0] not in fields:
                raise UserError(f"--{name} does not fit this model: give {wanted}")
        for name in fields:
            if name not in given:
                raise UserError(f"--{name} is missing: this model is scored on {wanted}")
        return list(given.values())


def read_own_pairs(files: OwnFiles) -> list[Pair]:
    """Reads sentences and all their translations.

    Raises:
        UserError: if a file cannot be read, or the files have different numbers of lines.
    """
    paths = files.take("source", "target")
    return [Pair(source, target, tuple(more)) for source, target, *more in read_parallel(*paths)]


def read_own_table(files: OwnFiles, class_names: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Reads labeled texts; returns the texts and their class numbers.

    Raises:
        UserError: if the table cannot be read, or a label is not one of the classes.
    """
    (path,) = files.take("file")
    rows = list(read_labeled(path, class_names))
    return [row["text"] for row in rows], np.array([row["label"] for row in rows], np.int32)


def read_own_texts(files: OwnFiles) -> list[str]:
    """Reads the texts of a table, or the nonblank lines of another file.

    Raises:
        UserError: if the file cannot be read or contains no text.
    """
    (path,) = files.take("file")
    if path.lower().removesuffix(".gz").endswith(TABLES):
        return [text for _, text, _ in read_table(path)]
    texts = [line for line in read_lines(path) if line.strip()]
    if not texts:
        raise UserError(f"{path} has no line of text: give another file")
    return texts


def read_own_documents(files: OwnFiles) -> list[str]:
    """Reads a text file, or all text files of a folder.

    Raises:
        UserError: if a file cannot be read, or a folder has no text file.
    """
    (path,) = files.take("file")
    documents = {found: "".join(read_raw_lines(found)) for found in find_documents(path)}
    for document, text in documents.items():
        check_size(document, len(text))
    return list(documents.values())


def read_own_folder(
    files: OwnFiles,
    kind: ExampleKind,
    class_names: Sequence[str],
    shape: tuple[int, ...],
    background: str,
) -> Examples:
    """Reads the images or videos in FOLDER/CLASS/EXAMPLE.

    Pixels are kept in an unnamed temporary file, not in memory; the system deletes it after use.

    Args:
        files: the files, with `folder` set.
        kind: kind of the examples.
        class_names: the model's classes.
        shape: shape of an example.
        background: color behind transparent pixels.

    Raises:
        UserError: if a folder is not named after a class, or a file cannot be read.
    """
    folder = Path(*files.take("folder"))
    found = _find_own(folder, kind, class_names)
    numbers = {name: number for number, name in enumerate(class_names)}
    labels = np.array([numbers[name] for name, paths in found.items() for _ in paths], np.int32)
    with tempfile.TemporaryFile() as file:
        pixels = np.memmap(file, np.uint8, "w+", shape=(len(labels), *shape))
    read = partial(read_pixels, shape, background)
    examples = read_examples({folder.name: found}, read, skip_bad_files=None)
    for index, (_, _, one) in enumerate(examples):
        pixels[index] = one
    return Examples(ArrayInputs(pixels), labels, tuple(class_names))


def _find_own(folder: Path, kind: ExampleKind, class_names: Sequence[str]) -> dict[str, list[Path]]:
    wanted = f"CLASS/{kind.name.upper()}"
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: give a folder with {wanted}")
    passed_over: list[Path] = []
    found = find_classes(folder, kind, passed_over)
    for name in found:
        if name not in class_names:
            is_split = any(name.lower() in names for names in SPLITS.values())
            hint = f" (give {folder / name} to score on that split)" * is_split
            raise UserError(f"{unknown(f'class in {folder}', name, class_names)}{hint}")
    if not found:
        raise UserError(f"{folder} has no class folder: give a folder with {wanted}")
    tell_passed_over(passed_over, folder, kind.name)
    return found
