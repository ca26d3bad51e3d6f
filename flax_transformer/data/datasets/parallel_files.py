"""The user's own parallel text, in two files or in columns of one: a data set without code."""

import bisect
import hashlib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from flax_transformer.data.datasets.own_data import choose_split, prepare_own
from flax_transformer.data.datasets.split import Split
from flax_transformer.data.files.text_files import (
    check_texts,
    read_lines,
    read_parallel,
    read_together,
)
from flax_transformer.errors import UserError

SOURCE, TARGET = "source", "target"
HELD_OUT_SHARE, MAX_HELD_OUT = 20, 1_000  # one pair in 20, and no more than that


class _PairFiles(NamedTuple):
    """The files with the pairs of a split.

    Attributes:
        paths: the source and the target file, or one file of pairs.
        columns: columns of the source and the target in a file of pairs, counted from 1.
        references: paths of files with further translations.
    """

    paths: tuple[str, ...]
    columns: tuple[int, int] | None = None
    references: tuple[str, ...] = ()

    def read(self) -> Iterator[tuple[str, ...]]:
        """Reads the pairs one by one, each with its further translations.

        Raises:
            UserError: if a file cannot be read, lacks a column, or has another number of lines.
        """
        paths = (*self.paths, *self.references)
        if self.columns is None:
            return read_parallel(*paths)
        files = [read_columns(paths[0], self.columns), *map(read_lines, self.references)]
        return ((*pair, *further) for pair, *further in read_together(paths, files, "pair"))


def open_split(config: Any, split: str) -> Split:
    """Opens a split of text_files.

    Without a validation file, pairs of the training split are held out for validation.

    Raises:
        UserError: if a file is missing or is not text, or the split does not exist.
    """
    # Not when the config is created: an experiment file leaves the files to the command line.
    files = _find_files(config)
    wanted = config.validation_split.partition("[")[0]
    hold_out = wanted == "validation" and wanted not in files
    paths = [path for part in files.values() for path in (*part.paths, *part.references)]
    check_texts(paths)
    numbers = [
        (name, len(part.paths), part.columns, len(part.references)) for name, part in files.items()
    ]
    folder, digest, found = prepare_own(
        config, paths, [numbers, hold_out], partial(_scan, files, hold_out)
    )
    held_out = set(found["held_out"])
    parts = {name: partial(_records, part, set(), True) for name, part in files.items()}
    if hold_out:
        parts["train"] = partial(_records, files["train"], held_out, True)
        parts["validation"] = partial(_records, files["train"], held_out, False)
    splits = {
        name: Split(name, found["sizes"][name], read, folder, digest)
        for name, read in parts.items()
    }
    hint = f"; give --data.{split}-source and --data.{split}-target"
    return choose_split(config, splits, split, hint if split in ("validation", "test") else "")


def _scan(files: Mapping[str, _PairFiles], hold_out: bool) -> dict[str, Any]:
    """Counts the pairs of every split, and chooses those to hold out."""
    held_out: dict[str, int] = {}
    sizes = {name: sum(1 for _ in part.read()) for name, part in files.items() if name != "train"}
    train = (source for source, *_ in files["train"].read())
    if hold_out:
        number, held_out = hold_out_sources(train)
        sizes["validation"] = sum(held_out.values())
        sizes["train"] = number - sizes["validation"]
        warnings.warn(
            f"no validation file is given: {sizes['validation']:,} of {number:,} training pairs "
            "are held out for validation",
            stacklevel=2,
        )
    else:
        sizes["train"] = sum(1 for _ in train)
    return {"sizes": sizes, "held_out": list(held_out)}


def _records(files: _PairFiles, held_out: set[str], is_train: bool) -> Iterator[dict[str, Any]]:
    """Reads the pairs of a split: for training those not held out, otherwise only those."""
    for source, target, *references in files.read():
        if not held_out or (source in held_out) != is_train:
            record: dict[str, Any] = {SOURCE: source, TARGET: target}
            yield record | {"references": tuple(references)} if references else record


def read_columns(path: str, columns: tuple[int, int]) -> Iterator[tuple[str, str]]:
    """Reads pairs from a file with one pair a line; see `read_numbered_columns`."""
    return ((source, target) for _, source, target in read_numbered_columns(path, columns))


def read_numbered_columns(path: str, columns: tuple[int, int]) -> Iterator[tuple[int, str, str]]:
    """Reads pairs from a file with one pair a line, in tab-separated columns.

    Quotes have no special meaning. Blank lines are skipped.

    Args:
        path: path of the file, which may be gzipped.
        columns: columns of the source and the target, counted from 1.

    Returns:
        The number of each line, its source and its target.

    Raises:
        UserError: if the file cannot be read, has no pair, or a line lacks a column.
    """
    source, target = (column - 1 for column in columns)
    is_empty = True
    for number, line in enumerate(read_lines(path), 1):
        fields = line.split("\t")
        if len(fields) < max(columns):
            if not line.strip():
                continue
            raise UserError(
                f"{path}, line {number:,} has no column {max(columns)}, only {len(fields)}: fix "
                "the line, or give --data.source-column and --data.target-column; tabs separate "
                "columns"
            )
        if line.isspace():
            continue
        is_empty = False
        yield number, fields[source], fields[target]
    if is_empty:
        raise UserError(f"{path} has no pair: give a file with one pair a line")


def hold_out_sources(sources: Iterable[str]) -> tuple[int, dict[str, int]]:
    """Chooses sources of training pairs for validation, each with all its translations.

    Sources are taken in the order of their SHA-256, until one pair in HELD_OUT_SHARE, or
    MAX_HELD_OUT pairs, are held out. So no source is in both parts, and the choice depends only on
    the sources.

    Args:
        sources: sources of all training pairs; at most MAX_HELD_OUT of them are in memory.

    Returns:
        The number of pairs, and the chosen sources with the number of pairs of each.

    Raises:
        UserError: if all pairs have the same source.
    """
    number = 0
    order: list[bytes] = []
    smallest: dict[bytes, tuple[str, list[int]]] = {}  # digest -> source and number of pairs
    for source in sources:
        number += 1
        digest = hashlib.sha256(source.encode()).digest()
        if digest in smallest:
            smallest[digest][1][0] += 1
        elif len(order) <= MAX_HELD_OUT or digest < order[-1]:
            bisect.insort(order, digest)
            smallest[digest] = source, [1]
            if len(order) > MAX_HELD_OUT + 1:
                del smallest[order.pop()]
    if len(order) < 2:
        raise UserError(
            f"{number} training pair(s) with one source leave none to hold out for validation: "
            "give pairs with at least two different sources, or --data.validation-source FILE and "
            "--data.validation-target FILE"
        )
    wanted = min(max(number // HELD_OUT_SHARE, 1), MAX_HELD_OUT)
    held_out: dict[str, int] = {}
    for digest in order[:-1]:  # never all of them
        if sum(held_out.values()) >= wanted:
            break
        source, (count,) = smallest[digest]
        held_out[source] = count
    return number, held_out


def _find_files(config: Any) -> dict[str, _PairFiles]:
    """Returns the files of each split that a config names.

    Raises:
        UserError: if a side of a split is missing or given twice; validation and test may be
            missing as a whole.
    """
    columns = config.source_column, config.target_column
    found = {}
    for split in ("train", "validation", "test"):
        pairs = getattr(config, f"{split}_pairs")
        sides = [getattr(config, f"{split}_{side}") for side in (SOURCE, TARGET)]
        references = getattr(config, f"{split}_references", ())
        if pairs is not None and any(sides):
            raise UserError(
                f"--data.{split}-pairs and --data.{split}-source or --data.{split}-target are both "
                "given: leave the first out, or the two others"
            )
        if pairs is not None:
            found[split] = _PairFiles((pairs,), columns, references)
        elif split == "train" or any(sides) or references:
            for side, path in zip((SOURCE, TARGET), sides, strict=True):
                if path is None:
                    raise UserError(
                        f"text_files needs --data.{split}-{side}: give a file, or "
                        f"both sides in columns of one file, --data.{split}-pairs FILE"
                    )
            found[split] = _PairFiles(tuple(sides), None, references)
    if not any(files.columns for files in found.values()) and columns != (1, 2):
        raise UserError(
            "--data.source-column or --data.target-column is set, but no file of pairs is given: "
            "give --data.train-pairs FILE"
        )
    return found
