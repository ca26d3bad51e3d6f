"""A user's own text files: their lines one by one, or their text as it is."""

import codecs
import contextlib
import gzip
import io
import itertools
import zlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from flax_transformer.errors import UserError

GZIP_MAGIC = b"\x1f\x8b"  # in UTF-8 the second byte cannot follow the first
# First bytes of files that are not UTF-8 text, and advice; UTF-32 begins as UTF-16 does.
UNREADABLE = {
    codecs.BOM_UTF32_LE: ("is UTF-32", "convert it, for example with iconv -f UTF-32 -t UTF-8"),
    codecs.BOM_UTF16_LE: ("is UTF-16", "convert it, for example with iconv -f UTF-16 -t UTF-8"),
    codecs.BOM_UTF16_BE: ("is UTF-16", "convert it, for example with iconv -f UTF-16 -t UTF-8"),
    GZIP_MAGIC: ("is gzipped twice", "unpack it once"),
    b"PK\x03\x04": ("is a zip archive", "unpack it, or give a gzipped file"),
    b"BZh91AY&SY": ("is packed by bzip2", "unpack it, or give a gzipped file"),
    b"\xfd7zXZ\0": ("is packed by xz", "unpack it, or give a gzipped file"),
}
END = object()


def read_parallel(*paths: str | Path) -> Iterator[tuple[str, ...]]:
    """Reads files with corresponding lines, line by line.

    Raises:
        UserError: if a file cannot be read, or the files have different numbers of lines.
    """
    return read_together(paths, [read_lines(path) for path in paths])


def read_together(
    paths: Sequence[str | Path], files: Sequence[Iterator[Any]], unit: str = "line"
) -> Iterator[tuple[Any, ...]]:
    """Yields corresponding parts of several files together.

    Args:
        paths: paths of the files.
        files: parts of each file.
        unit: name of a part of the first file; those of the others are lines.

    Raises:
        UserError: if the files have different numbers of parts.
    """
    for number, parts in enumerate(itertools.zip_longest(*files, fillvalue=END)):
        if END in parts:
            counts = [
                number + (part is not END) + sum(1 for _ in file)
                for part, file in zip(parts, files, strict=True)
            ]
            other = next(index for index, count in enumerate(counts) if count != counts[0])
            lines = "" if unit == "line" else " lines"
            raise UserError(
                f"{paths[0]} has {counts[0]:,} {unit}s but {paths[other]} has "
                f"{counts[other]:,}{lines}: line N of one must translate {unit} N of the other"
            )
        yield parts


def read_lines(path: str | Path) -> Iterator[str]:
    r"""Yields the lines of a UTF-8 file, which may be gzipped.

    A line ends only at a line feed, optionally preceded by a carriage return. A sentence may
    contain other carriage returns, a form feed, U+0085 or U+2028.

    Raises:
        UserError: if the file is missing, a folder, empty, packed or not UTF-8, if it has carriage
            returns instead of line feeds, or if it contains a NUL character, which only UTF-16 read
            as UTF-8 has.
    """
    line = None
    for line in read_raw_lines(path):
        yield line.removesuffix("\n").removesuffix("\r")
    if line is None:
        raise UserError(f"{path} is empty: give a file with one sentence a line")


def read_raw_lines(path: str | Path) -> Generator[str, None, None]:
    """Reads a file as `read_lines` does, but keeps line ends unchanged; it may be empty."""
    number = 0
    try:
        with _opened(path) as file:
            for number, encoded in enumerate(file, 1):
                line = encoded.decode()
                if number == 1:
                    line = line.removeprefix("\ufeff")
                    if not line.endswith("\n") and "\r" in line.rstrip("\r"):
                        raise UserError(
                            f"{path} ends its lines in carriage returns only: give each a line "
                            "feed, for example with tr '\\r' '\\n'"
                        )
                if "\0" in line:
                    raise UserError(
                        f"{path}, line {number:,} holds a NUL character, as UTF-16 "
                        "read as UTF-8 does: convert the file to UTF-8"
                    )
                if line:
                    yield line
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: give the path of a text file") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder: give the path of a text file in it") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}, line {number:,} is not UTF-8: convert the file") from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"cannot read {path}: {error}") from None


def read_encoded_lines(path: str | Path) -> Iterator[bytes]:
    """Yields the lines of a file as bytes with their ends, unpacked if it is gzipped.

    Raises:
        UserError: if the file cannot be read, or is packed in another way or not UTF-8 text as a
            whole.
    """
    try:
        with _opened(path) as file:
            yield from file
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"cannot read {path}: {error}") from None


def check_texts(paths: Iterable[str | Path]) -> None:
    """Rejects files that do not begin as text, without reading more of them.

    Raises:
        UserError: as `read_lines`; an empty file may pass.
    """
    for path in paths:
        with contextlib.closing(read_raw_lines(path)) as lines:
            next(lines, None)


def read_bytes(path: str | Path) -> bytes:
    """Reads a file, unpacked if it is gzipped.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        contents = Path(path).expanduser().read_bytes()
        return gzip.decompress(contents) if contents.startswith(GZIP_MAGIC) else contents
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"cannot read {path}: {error}") from None


def _opened(path: str | Path) -> Any:
    """Opens a file, unpacked if it is gzipped, and rejects one that is not text."""
    path = Path(path).expanduser()
    with contextlib.ExitStack() as stack:
        file: Any = stack.enter_context(path.open("rb"))
        if file.peek(2).startswith(GZIP_MAGIC):
            file = io.BufferedReader(stack.enter_context(gzip.open(path, "rb")))
        for magic, (what, advice) in UNREADABLE.items():
            if file.peek(16).startswith(magic):
                raise UserError(f"{path} {what}, not UTF-8 text: {advice}")
        stack.pop_all()
    return file
