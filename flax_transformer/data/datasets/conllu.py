"""Words with one tag each, from CoNLL-U files such as those of treebanks."""

import dataclasses
import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from flax_transformer.data.data_config import DataConfig
from flax_transformer.data.datasets.split import Split
from flax_transformer.data.files.text_files import read_bytes, read_lines
from flax_transformer.data.tokens.tokenizer import MAX_VOCAB_SIZE, MIN_VOCAB_SIZE
from flax_transformer.errors import UserError, check_number

NUM_COLUMNS = 10
FORM, UPOS = 1, 3  # columns, counted from 0


class TaggedSentence(NamedTuple):
    """A sentence and the tags of its words."""

    words: tuple[str, ...]
    tags: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class TaggedWordsConfig(DataConfig):
    """The tagged words and their tokenization."""

    kind: ClassVar[str] = "tagged_words"

    dataset: str = "conllu"
    """conllu: your own CoNLL-U files; the fourth column has the tags."""
    train_file: str | None = None
    """Training file; may be gzipped."""
    validation_file: str | None = None
    """Validation file."""
    test_file: str | None = None
    """Test file; optional."""
    batch_size: int = 32
    """Pieces of sentences in each update, over all devices."""
    vocab_size: int = 4_000
    """Maximum size of the vocabulary; a small training split may give a smaller one."""
    max_length: int = 128
    """Maximum tokens of a piece, including its two marks; longer sentences are split into
    pieces."""

    PATHS = ("train_file", "validation_file", "test_file")
    LOWEST: ClassVar = {"batch_size": 1, "max_length": 3}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("--data.vocab-size", self.vocab_size, MIN_VOCAB_SIZE, MAX_VOCAB_SIZE)

    @property
    def held_out_split(self) -> str:
        """The split of the final score: validation if no test file is given."""
        return self.validation_split if self.test_file is None else self.test_split


def open_split(config: Any, split: str) -> Split:
    """Opens the file of a split; its records have words and tags.

    Raises:
        UserError: if the split does not exist, its file is not given, or it cannot be read.
    """
    files = {
        "train": config.train_file,
        "validation": config.validation_file,
        "test": config.test_file,
    }
    if split not in files:
        raise UserError(f"conllu has no split {split!r}: choose one of {', '.join(files)}")
    path = files[split]
    if path is None:
        raise UserError(f"conllu has no file of the split {split}: give --data.{split}-file")
    sentences = list(read_conllu(path))
    return Split(
        name=split,
        number=len(sentences),
        read=lambda: (sentence._asdict() for sentence in sentences),
        folder=Path(path).parent,
        digest=hashlib.sha256(read_bytes(path)).hexdigest(),
        class_names=tuple(sorted({tag for sentence in sentences for tag in sentence.tags})),
    )


def read_conllu(path: str | Path) -> Iterator[TaggedSentence]:
    """Reads the words of each sentence and their universal parts of speech.

    Each line is a word with ten columns, separated by tabs; a blank line ends a sentence. Skips
    comments, multi-word tokens (number 5-6, followed by their words) and empty nodes (number 8.1).

    Raises:
        UserError: if the file cannot be read, or a line does not have this format.

    Reference:
        https://universaldependencies.org/format.html; Nivre et al. 2020, "Universal Dependencies
        v2".
    """
    rows: list[list[str]] = []
    is_empty = True
    for number, line in enumerate(itertools.chain(read_lines(path), [""]), 1):
        if line.startswith("#"):
            continue
        if line.strip():
            rows += _word(path, number, line, len(rows) + 1)
        elif rows:
            yield TaggedSentence(tuple(row[FORM] for row in rows), tuple(row[UPOS] for row in rows))
            rows, is_empty = [], False
    if is_empty:
        raise UserError(f"{path} has no word: give a file in the format CoNLL-U")


def _word(path: str | Path, number: int, line: str, expected: int) -> list[list[str]]:
    """The columns of the word on a line; None if the line has no word."""
    where, columns = f"{path}, line {number:,}", line.split("\t")
    if len(columns) != NUM_COLUMNS:
        raise UserError(
            f"{where} has {len(columns)} columns separated by tabs, not {NUM_COLUMNS}: give a file "
            "in the format CoNLL-U"
        )
    first, _, last = columns[0].replace(".", "-", 1).partition("-")
    if first.isdecimal() and last.isdecimal():
        return []
    if columns[0] != str(expected):
        raise UserError(f"{where} begins with {columns[0]!r}, not {expected}: number the words")
    for column, name in ((FORM, "word"), (UPOS, "tag")):
        if not columns[column].strip() or (column == UPOS and columns[column] == "_"):
            raise UserError(f"{where} has no {name} in column {column + 1}: add it")
    return [columns]
