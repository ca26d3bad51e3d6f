"""The user's own text, from a file or a folder of files: a data set without code."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from flax_transformer.data.datasets.own_data import choose_split, prepare_own
from flax_transformer.data.datasets.split import Split
from flax_transformer.data.files.folders import files_in, tell_passed_over
from flax_transformer.data.files.text_files import check_texts, read_raw_lines
from flax_transformer.errors import UserError

# The ending of files that are read from a folder; a file given by name may have any ending.
ENDINGS = (".txt", ".txt.gz")
PART_SIZE = 2**20  # minimum number of characters of a document in memory


def open_split(config: Any, split: str) -> Split:
    """Opens a split of plain_text: each document is a file.

    Without validation texts, the last tenth of each training document is used.

    Raises:
        UserError: if a file is missing or is not text, or the split does not exist.
    """
    if config.train_text is None:
        raise UserError("plain_text needs --data.train-text: give a text file or a folder of them")
    given = {"train": config.train_text, "validation": config.validation_text}
    files = {name: find_documents(path) for name, path in given.items() if path is not None}
    paths = [path for documents in files.values() for path in documents]
    check_texts(paths)
    # The end of each document is not in the contents, but it changes the data set.
    ends = [len(documents) for documents in files.values()]
    folder, digest, sizes = prepare_own(config, paths, ends, lambda: list(map(_size, paths)))
    bounds = [(path, size * 9 // 10, size) for path, size in zip(paths, sizes, strict=True)]
    if "validation" in files:
        number = len(files["train"])
        whole = [(path, 0, size) for path, _, size in bounds]
        parts = {"train": whole[:number], "validation": whole[number:]}
    else:
        parts = {"train": [(path, 0, end) for path, end, _ in bounds], "validation": bounds}
    splits = {
        name: Split(name, len(part), partial(_records, part), folder, digest)
        for name, part in parts.items()
    }
    return choose_split(config, splits, split)


def find_documents(path: str) -> list[Path]:
    """Returns a file itself, or the text files of a folder at any depth, in natural order.

    Raises:
        UserError: if a folder has none.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        return [folder]
    found, others = files_in(folder, ENDINGS)
    tell_passed_over(others, folder, "text")
    if not found:
        raise UserError(f"{path} holds no .txt file: give a text file, or a folder with some")
    return found


def read_document(path: Path, start: int = 0, end: int | None = None) -> Iterator[str]:
    """Reads a text from one character position to another, in parts of about PART_SIZE.

    Each part except the last ends after a word at the end of a line, as `Tokenizer.is_local`
    requires.
    """
    place, size, waiting = 0, 0, []
    for line in read_raw_lines(path):
        first, place = place, place + len(line)
        line = line[max(start - first, 0) : None if end is None else max(end - first, 0)]
        words = line.rstrip(" \t\r\n")
        waiting.append(line)
        size += len(line)
        if size >= PART_SIZE and words != line and words and not words[-1].isspace():
            yield "".join([*waiting[:-1], words])
            waiting = [line[len(words) :]]
            size = len(waiting[0])
    yield "".join(waiting)


def hold_out_end(text: str) -> tuple[str, str]:
    """Splits a text before its last tenth: of n characters, floor(9 n / 10) come before it.

    Example:
        >>> hold_out_end("abcdefghijklm")
        ('abcdefghijk', 'lm')
    """
    end = len(text) * 9 // 10
    return text[:end], text[end:]


def _records(parts: list[tuple[Path, int, int]]) -> Iterator[dict[str, Iterator[str]]]:
    return ({"text": read_document(*part)} for part in parts)


def _size(path: Path) -> int:
    size = sum(map(len, read_raw_lines(path)))
    check_size(path, size)
    return size


def check_size(path: Path, size: int) -> None:
    """Rejects a text that is too short to hold out a tenth of it."""
    if size < 2:
        raise UserError(f"{path} has {size} characters: give text, or take the file away")
