"""The parts of data that are examined, read by the readers that a training uses."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from flax_transformer.data.data_config import DataConfig
from flax_transformer.data.datasets.conllu import read_conllu
from flax_transformer.data.datasets.datasets import open_split
from flax_transformer.data.datasets.labeled_text import names_columns, read_table
from flax_transformer.data.datasets.parallel_files import read_numbered_columns
from flax_transformer.data.datasets.plain_text import find_documents
from flax_transformer.data.files.text_files import read_lines, read_parallel
from flax_transformer.errors import UserError

TRAIN, VALIDATION, TEST = "train", "validation", "test"
PAIR, TEXT, LABELED, TAGGED = "pair", "text", "labeled_text", "tagged_words"


class Example(NamedTuple):
    """An example of any kind.

    Attributes:
        number: of its line, or of the example, from 1.
        texts: source and target, or one text; none of an image.
        classes: its class, or the tags of its words.
    """

    number: int
    texts: tuple[str, ...]
    classes: tuple[str, ...] = ()


class Part(NamedTuple):
    """A part of the data.

    Attributes:
        name: train, validation or test.
        kind: pair, text, labeled_text or tagged_words, as of a data config.
        unit: what the numbers of its examples count.
        read: returns all examples in order.
        files: from which it is read, if they are the user's own.
    """

    name: str
    kind: str
    unit: str
    read: Callable[[], Iterator[Example]]
    files: tuple[Path, ...] = ()


def part_of_files(name: str, paths: Sequence[Path]) -> Part:
    """Makes a part of files; their number and endings say what is in them.

    Two files are parallel text. One file is CoNLL-U if it ends in .conllu, labeled text if it ends
    in .csv or if it is a .tsv whose first line names the columns text and label, pairs if it is
    another .tsv, and plain text otherwise, as is a folder of .txt files. All may be gzipped.

    Args:
        name: of the part.
        paths: one file, two files, or a folder.

    Raises:
        UserError: if a path does not exist, or there are more than two.
    """
    for path in paths:
        if not path.expanduser().exists():
            raise UserError(f"{path} does not exist: give the path of a file")
    if len(paths) > 2:
        raise UserError(
            f"{len(paths)} files of {name}: give one file, or two of parallel text; --validation "
            "and --test name those of other parts"
        )
    files = tuple(path.expanduser() for path in paths)
    if len(files) == 2:
        return Part(name, PAIR, "line", partial(_read_parallel, files), files)
    (path,) = files
    ending = Path(path.name.lower().removesuffix(".gz")).suffix
    if path.is_dir():
        documents = tuple(find_documents(str(path)))
        return Part(name, TEXT, "line", partial(_read_text, documents), documents)
    if ending == ".conllu":
        return Part(name, TAGGED, "sentence", partial(_read_conllu, path), files)
    if ending == ".csv" or (ending == ".tsv" and names_columns(str(path))):
        return Part(name, LABELED, "line", partial(_read_labeled, path), files)
    if ending == ".tsv":
        return Part(name, PAIR, "line", partial(_read_columns, path), files)
    return Part(name, TEXT, "line", partial(_read_text, files), files)


def parts_of_data(data: DataConfig) -> list[Part]:
    """Makes the parts of a data set: its splits for training, validation and the final score."""
    splits = {TRAIN: data.train_split, VALIDATION: data.validation_split}
    if data.held_out_split not in splits.values():
        splits[TEST] = data.held_out_split
    unit = {TAGGED: "sentence", TEXT: "line"}.get(data.kind, "example")
    return [
        Part(name, data.kind, unit, partial(_read_split, data, split))
        for name, split in splits.items()
    ]


def _read_parallel(paths: tuple[Path, ...]) -> Iterator[Example]:
    for number, texts in enumerate(read_parallel(*paths), 1):
        yield Example(number, texts)


def _read_columns(path: Path) -> Iterator[Example]:
    for number, *texts in read_numbered_columns(str(path), (1, 2)):
        yield Example(number, tuple(texts))


def _read_labeled(path: Path) -> Iterator[Example]:
    for number, text, label in read_table(str(path)):
        yield Example(number, (text,), (label,))


def _read_conllu(path: Path) -> Iterator[Example]:
    for number, (words, tags) in enumerate(read_conllu(path), 1):
        yield Example(number, (" ".join(words),), tags)


def _read_text(paths: tuple[Path, ...]) -> Iterator[Example]:
    """The lines with text; of several files, numbers go on from file to file."""
    lines = itertools.chain.from_iterable(map(read_lines, paths))
    return _nonblank(lines)


def _nonblank(lines: Iterable[str]) -> Iterator[Example]:
    return (Example(n, (line,)) for n, line in enumerate(lines, 1) if line.strip())


def _read_split(data: DataConfig, name: str) -> Iterator[Example]:
    split = open_split(data, name)
    if data.kind == TEXT:
        yield from _nonblank(_lines(record["text"] for record in split))
    elif split.arrays is not None:
        for number, label in enumerate(split.arrays[1].tolist(), 1):
            yield Example(number, (), _named(label, split.class_names))
    else:
        for number, record in enumerate(split, 1):
            yield _example(data.kind, number, record, split.class_names)


def _example(kind: str, number: int, record: Any, class_names: tuple[str, ...]) -> Example:
    if kind == PAIR:
        return Example(number, (record["source"], record["target"]))
    if kind == TAGGED:
        return Example(number, (" ".join(record["words"]),), tuple(record["tags"]))
    texts = (record["text"],) if kind == LABELED else ()
    return Example(number, texts, _named(int(record["label"]), class_names))


def _named(label: int, class_names: tuple[str, ...]) -> tuple[str, ...]:
    """The class of an example; benchmarks mark a secret one by a negative number."""
    return (class_names[label],) if label >= 0 else ()


def _lines(documents: Iterable[Iterable[str]]) -> Iterator[str]:
    """The lines of documents, which come in parts."""
    for parts in documents:
        waiting = ""
        for part in [parts] if isinstance(parts, str) else parts:
            *whole, waiting = (waiting + part).split("\n")
            yield from (line.removesuffix("\r") for line in whole)
        yield waiting
