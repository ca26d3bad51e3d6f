"""The user's own labeled sentences, from CSV or TSV files: a data set without code."""

import csv
import difflib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from flax_transformer.data.datasets.own_data import choose_split, prepare_own
from flax_transformer.data.datasets.split import Split
from flax_transformer.data.files.folders import natural_key
from flax_transformer.data.files.text_files import check_texts, read_raw_lines
from flax_transformer.errors import LARGEST_NUMBER, UserError, unknown

TEXT, LABEL = "text", "label"
Row = tuple[int, str, str]  # line number, text and label


def open_split(config: Any, split: str) -> Split:
    """Opens a split of labeled_text.

    The classes are the labels of the train split, in alphabetical order.

    Raises:
        UserError: if a file is missing or is not a table, or the split does not exist.
    """
    if config.train_file is None:
        raise UserError(
            "labeled_text needs --data.train-file: give a .csv or .tsv with columns text and label"
        )
    given = {name: getattr(config, f"{name}_file") for name in ("train", "validation", "test")}
    files = {name: path for name, path in given.items() if path is not None}
    check_texts(files.values())
    # The file's ending determines the column separator.
    endings = [(name, _ending(path)) for name, path in files.items()]
    folder, digest, found = prepare_own(config, files.values(), endings, partial(_scan, files))
    sizes, class_names = found["sizes"], tuple(found["class_names"])
    splits = {
        name: Split(
            name, sizes[name], partial(read_labeled, path, class_names), folder, digest, class_names
        )
        for name, path in files.items()
    }
    hint = f"; give --data.{split}-file" if split in given else ""
    return choose_split(config, splits, split, hint)


def _scan(files: Mapping[str, str]) -> dict[str, Any]:
    """Counts the rows of every split and finds the classes."""
    labels = [label for _, _, label in read_table(files["train"])]
    class_names = sorted(set(labels), key=natural_key)
    if len(class_names) < 2:
        raise UserError(
            f"{files['train']} has no label but '{class_names[0]}': give examples of at least two "
            "classes"
        )
    sizes = {
        name: sum(1 for _ in read_labeled(path, class_names))
        for name, path in files.items()
        if name != "train"
    }
    return {"sizes": sizes | {"train": len(labels)}, "class_names": class_names}


def read_labeled(path: str, class_names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Reads the texts of a table and their class numbers.

    Raises:
        UserError: if a label is not one of the classes, naming the line and the nearest class; and
            as `read_table`.
    """
    numbers = {name: number for number, name in enumerate(class_names)}
    for line, text, label in read_table(path):
        if label not in numbers:
            raise unknown(f"label in {path}, line {line:,}:", label, class_names)
        yield {TEXT: text, LABEL: numbers[label]}


def read_table(path: str) -> Iterator[Row]:
    """Reads labeled texts from a .csv or .tsv file, gzipped or not.

    The first line names the columns; text and label are read, in any order. The separator of a .csv
    is the most frequent one of comma, semicolon and tab in the first line, and quotes enclose a
    field with a separator or a line feed. The separator of a .tsv is a tab, and quotes have no
    special meaning. A field may have any length. Blank lines are skipped.

    Raises:
        UserError: naming the line, if a column is missing or a row does not match the first line.
    """
    rows = _rows(path)
    _, header = next(rows, (0, []))
    columns = [_column(path, header, name) for name in (TEXT, LABEL)]
    is_empty = True
    for line, row in rows:
        if len(row) != len(header):
            raise UserError(
                f"{path}, line {line:,} has {len(row)} columns, but line 1 names {len(header)}: "
                "fix the line; in a .csv, quote a text that holds the separator"
            )
        text = row[columns[0]].strip()
        label = " ".join(row[columns[1]].split())
        for name, value in ((TEXT, text), (LABEL, label)):
            if not value:
                raise UserError(f"{path}, line {line:,} has no {name}: write one, or remove it")
        is_empty = False
        yield line, text, label
    if is_empty:
        raise UserError(f"{path} has no line below its columns' names: give some examples")


def names_columns(path: str) -> bool:
    """Returns whether the first line of a table names the columns text and label.

    Raises:
        UserError: if the file cannot be read.
    """
    _, header = next(_rows(path), (0, []))
    return {TEXT, LABEL} <= {field.strip().lower() for field in header}


def _ending(path: str) -> str:
    ending = Path(path.lower().removesuffix(".gz")).suffix
    if ending not in (".csv", ".tsv"):
        raise UserError(f"{path} ends in neither .csv nor .tsv: rename it")
    return ending


def _rows(path: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, and the line on which each begins."""
    lines = read_raw_lines(path)
    if _ending(path) == ".csv":
        header = next(filter(str.strip, read_raw_lines(path)), "")
        # Spreadsheets write semicolons in locales with a decimal comma.
        separator = max(",;\t", key=header.count)  # the first of equally frequent ones
        reader = csv.reader(lines, delimiter=separator, strict=True)
    else:
        reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    line = 1
    try:
        while (row := _next(reader)) is not None:
            if any(field.strip() for field in row):
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{path}, line {line:,} cannot be read ({error}): fix it") from None


def _next(reader: Any) -> list[str] | None:
    """Reads a row; its fields may exceed the csv module's limit of 131,072 characters."""
    before = csv.field_size_limit(LARGEST_NUMBER)  # global, so only for this row
    try:
        return next(reader, None)
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
        f"column {TEXT} and one {LABEL}"
    )
