"""Labelled sentences of the user's own, from CSV or TSV files: a data set without code."""

import contextlib
import csv
import difflib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow_datasets as tfds

from flax_transformer.data.datasets.labelled import LABEL, describe, number_examples
from flax_transformer.data.files import text_files
from flax_transformer.data.files.folders import natural_key
from flax_transformer.errors import LARGEST_NUMBER, UserError, unknown

TEXT = "text"


class Table(NamedTuple):
    """The texts of a file, their labels, and the lines where they stand, for errors."""

    texts: list[str]
    labels: list[str]
    lines: list[int]


class LabelledText(tfds.core.GeneratorBasedBuilder):
    """Sentences and labels; each content is a configuration of its own, prepared once.

    The classes are the labels of the train split, in alphabetical order.
    """

    VERSION = tfds.core.Version("2.0.0")

    def __init__(
        self,
        *,
        train_file: str | None = None,
        validation_file: str | None = None,
        test_file: str | None = None,
        **kwargs: Any,
    ):
        """Takes the path of each split's file, train at least, as `read_table` reads it."""
        if train_file is None:
            raise UserError("labelled_text needs --data.train-file, whose labels are the classes.")
        given = {"train": train_file, "validation": validation_file, "test": test_file}
        files = {split: path for split, path in given.items() if path is not None}
        self._tables = {split: read_table(path) for split, path in files.items()}
        self._class_names = sorted(set(self._tables["train"].labels), key=natural_key)
        if len(self._class_names) < 2:
            raise UserError(
                f"{files['train']} has no label but '{self._class_names[0]}': give examples of "
                "at least two classes."
            )
        for split, path in files.items():
            check_labels(path, self._tables[split], self._class_names)
        name = text_files.contents_hash(iter(files.values()))
        super().__init__(config=tfds.core.BuilderConfig(name=name), **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        description = "Labelled sentences from files."
        return describe(self, description, TEXT, tfds.features.Text(), self._class_names)

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        return {split: self._generate_examples(table) for split, table in self._tables.items()}

    def _generate_examples(self, table: Table) -> Iterator[tuple[int, dict[str, Any]]]:
        return number_examples(TEXT, table.texts, table.labels)


def check_labels(path: str, table: Table, class_names: list[str]) -> None:
    """Refuses a label that no training example has, since no model could give it.

    Raises:
        UserError: naming its line and the nearest label.
    """
    known = set(class_names)
    for label, line in zip(table.labels, table.lines, strict=True):
        if label not in known:
            raise unknown(f"label in {path}, line {line:,}:", label, class_names)


def read_table(path: str) -> Table:
    """Reads labelled texts from a file, gzipped or not, whose name ends in .csv or .tsv.

    The first line names the columns, of which text and label are read, in any order. In a .csv,
    commas, semicolons or tabs separate them, whichever is most frequent in the first line, and
    quotes enclose a field that holds a separator or a line feed. In a .tsv tabs separate them, and
    a quote is a character like others. A field may have any length. Blank lines are left out.

    Raises:
        UserError: naming the line, if a column is missing or a row is not as the first line says.
    """
    rows = iter(_rows(path))
    _, header = next(rows, (0, []))
    columns = [_column(path, header, name) for name in (TEXT, LABEL)]
    table = Table([], [], [])
    for line, row in rows:
        if len(row) != len(header):
            raise UserError(
                f"{path}, line {line:,} has {len(row)} columns, but line 1 names {len(header)}: "
                "fix the line; in a .csv, quote a text that holds the separator."
            )
        text = row[columns[0]].strip()
        label = " ".join(row[columns[1]].split())  # TFDS keeps class names one a line
        for name, value in ((TEXT, text), (LABEL, label)):
            if not value:
                raise UserError(f"{path}, line {line:,} has no {name}: write one, or remove it.")
        table.texts.append(text)
        table.labels.append(label)
        table.lines.append(line)
    if not table.texts:
        raise UserError(f"{path} has no line below its columns' names: give some examples.")
    return table


def _rows(path: str) -> list[tuple[int, list[str]]]:
    """The rows that are not blank, and the line on which each begins."""
    ending = Path(path.lower().removesuffix(".gz")).suffix
    if ending not in (".csv", ".tsv"):
        raise UserError(f"{path} ends in neither .csv nor .tsv: name it after what parts columns.")
    contents = text_files.read_text(path)
    file = io.StringIO(contents, newline="\n")
    if ending == ".csv":
        reader = csv.reader(file, delimiter=_separator(contents), strict=True)
    else:
        reader = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    rows, line = [], 1
    try:
        with _fields_of_any_length():
            for row in reader:
                if any(field.strip() for field in row):
                    rows.append((line, row))
                line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{path}, line {line:,} cannot be read ({error}): fix it.") from None
    return rows


def _separator(contents: str) -> str:
    """Finds the separator: where the comma is the decimal point, spreadsheets write semicolons."""
    header = contents.lstrip().partition("\n")[0]
    return max(",;\t", key=header.count)  # the first of those that are equally frequent


@contextlib.contextmanager
def _fields_of_any_length() -> Iterator[None]:
    """Lifts the limit of the csv module, 131,072 characters, while a file is read."""
    before = csv.field_size_limit(LARGEST_NUMBER)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _column(path: str, header: list[str], name: str) -> int:
    names = [field.strip().lower() for field in header]
    if names.count(name) == 1:
        return names.index(name)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" rename '{near[0]}', or" if near and near[0] != name else ""
    number = "two columns" if name in names else "no column"
    raise UserError(
        f"{path}, line 1 names {number} '{name}':{hint} begin the file with a line that names one "
        f"column {TEXT} and one {LABEL}."
    )
