"""Text files of a user's own: their lines, their text, and a hash of their contents."""

import codecs
import gzip
import hashlib
import zlib
from collections.abc import Iterable
from pathlib import Path

from flax_transformer.errors import UserError

GZIP_MAGIC = b"\x1f\x8b"  # the second byte cannot follow the first in UTF-8
# How files begin that are no UTF-8 text, and what to do with them; UTF-32 begins as UTF-16 does.
UNREADABLE = {
    codecs.BOM_UTF32_LE: ("is UTF-32", "convert it, for example with iconv -f UTF-32 -t UTF-8"),
    codecs.BOM_UTF16_LE: ("is UTF-16", "convert it, for example with iconv -f UTF-16 -t UTF-8"),
    codecs.BOM_UTF16_BE: ("is UTF-16", "convert it, for example with iconv -f UTF-16 -t UTF-8"),
    GZIP_MAGIC: ("is gzipped twice", "unpack it once"),
    b"PK\x03\x04": ("is a zip archive", "unpack it, or give a gzipped file"),
    b"BZh91AY&SY": ("is packed by bzip2", "unpack it, or give a gzipped file"),
    b"\xfd7zXZ\0": ("is packed by xz", "unpack it, or give a gzipped file"),
}


def contents_hash(paths: Iterable[str], settings: str = "") -> str:
    """Names the contents of files, so that a changed file is another data set.

    Args:
        paths: of the files.
        settings: other settings that make it a different data set.
    """
    digest = hashlib.sha256(settings.encode())
    for path in paths:
        digest.update(hashlib.sha256(read_bytes(path)).digest())
    return digest.hexdigest()[:16]


def read_parallel(*paths: str | Path) -> list[list[str]]:
    """Reads files whose lines belong together.

    Raises:
        UserError: if one cannot be read, or they have different numbers of lines.
    """
    texts = [read_lines(path) for path in paths]
    for path, lines in zip(paths[1:], texts[1:], strict=True):
        if len(lines) != len(texts[0]):
            raise UserError(
                f"{paths[0]} has {len(texts[0]):,} lines but {path} has {len(lines):,}: "
                "line N of one must translate line N of the other."
            )
    return texts


def read_lines(path: str | Path) -> list[str]:
    r"""Reads the lines of a UTF-8 file, which may be gzipped.

    Only a line feed ends a line, of which a carriage return before it is part: a sentence may hold
    other carriage returns, a form feed, U+0085 or U+2028.

    Raises:
        UserError: if it is missing, a folder, empty, packed or not UTF-8, if it has carriage
            returns in place of line feeds, or if it holds a NUL character, as no text does but
            UTF-16 read as UTF-8.
    """
    lines = read_text(path).split("\n")
    if not lines[-1]:
        lines.pop()
    if not lines:
        raise UserError(f"{path} is empty: give a file with one sentence a line.")
    return [line.removesuffix("\r") for line in lines]


def read_text(path: str | Path) -> str:
    """Reads a UTF-8 file, which may be gzipped, character by character as it is.

    Raises:
        UserError: if it is no such file, as `read_lines` says; it may be empty.
    """
    contents = read_bytes(path)
    _check_is_text(path, contents)
    contents = contents.removeprefix(codecs.BOM_UTF8)
    try:
        return contents.decode("utf-8")
    except UnicodeDecodeError as error:
        number = contents.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {number:,} is not UTF-8: convert the file.") from None


def _check_is_text(path: str | Path, contents: bytes) -> None:
    for magic, (what, advice) in UNREADABLE.items():
        if contents.startswith(magic):
            raise UserError(f"{path} {what}, no UTF-8 text: {advice}.")
    if b"\n" not in contents and b"\r" in contents.rstrip(b"\r"):
        raise UserError(
            f"{path} ends its lines in carriage returns alone: give each a line feed, for example "
            "with tr '\\r' '\\n'."
        )
    before, nul, _ = contents.partition(b"\0")
    if nul:
        number = before.count(b"\n") + 1
        raise UserError(
            f"{path}, line {number:,} holds a NUL character, as UTF-16 "
            "read as UTF-8 does: convert the file to UTF-8."
        )


def read_bytes(path: str | Path) -> bytes:
    """Reads a file, unpacked if it is gzipped.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        contents = Path(path).expanduser().read_bytes()
        return gzip.decompress(contents) if contents.startswith(GZIP_MAGIC) else contents
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: give the path of a text file.") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder: give the path of a text file in it.") from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"cannot read {path}: {error}.") from None
