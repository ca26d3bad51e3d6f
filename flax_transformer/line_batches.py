"""Batches of lines of standard input; the first are answered before the last are read."""

import io
import json
import os
import select
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

from flax_transformer.errors import UserError, check_number

CHUNK_SIZE = 65_536  # bytes read at once: the capacity of a Linux pipe


class LineBatch(NamedTuple):
    """Texts that are answered together.

    Attributes:
        first: index of the first text, from 0.
        texts: of the command line, or lines of standard input; an error stands for an unreadable
            line.
        is_input: whether they come from standard input.
    """

    first: int
    texts: Sequence[str | UserError]
    is_input: bool


class Shard(NamedTuple):
    """One of several contiguous parts of the lines of a file.

    Attributes:
        index: of the part, from 0.
        number: of parts.

    Example:
        >>> [list(Shard(index, 3).part(7)) for index in range(3)]
        [[0, 1], [2, 3], [4, 5, 6]]
    """

    index: int
    number: int

    def part(self, count: int) -> range:
        """The indices of this part's lines among `count` lines."""
        return range(self.index * count // self.number, (self.index + 1) * count // self.number)


def parse_shard(text: str | None) -> Shard | None:
    """Reads the value of --shard.

    Raises:
        UserError: if it is not I/N with I from 0 to N - 1.

    Example:
        >>> parse_shard("2/8")
        Shard(index=2, number=8)
    """
    if text is None:
        return None
    words = text.split("/")
    if len(words) != 2 or not all(word.isascii() and word.isdecimal() for word in words):
        raise UserError(f"--shard {text} is not I/N: give two numbers, such as 0/4")
    shard = Shard(*map(int, words))
    check_number("the number of parts in --shard", shard.number)
    if shard.index >= shard.number:
        raise UserError(
            f"--shard {text}: the {shard.number} parts are counted from 0: give a part below "
            f"{shard.number}, such as 0/{shard.number}"
        )
    return shard


def line_batches(
    given: Sequence[str], batch_lines: int, shard: Shard | None = None
) -> Iterator[LineBatch]:
    """Yields the texts of the command line in one batch, or the lines of standard input.

    Args:
        given: texts of the command line.
        batch_lines: see `standard_input`.
        shard: part of the lines to yield; None: all.

    Raises:
        UserError: if there is a shard, but standard input is not a file.
    """
    if given and shard is not None:
        raise UserError(
            "--shard divides the lines of standard input: give a file with < FILE instead of texts"
        )
    if given:
        yield LineBatch(0, list(given), False)
        return
    part = None if shard is None else shard.part(_count_lines())
    first = 0 if part is None else part.start
    for lines in standard_input(batch_lines, part):
        yield LineBatch(first, lines, True)
        first += len(lines)


def answer_lines(
    batches: Iterable[LineBatch],
    answer: Callable[[list[str], int], Sequence[Any]],
    write: Callable[[int, str | UserError, Any], None],
) -> None:
    """Answers texts batch by batch, in order, and flushes the output after each batch.

    A bad line of standard input does not stop the others: its `UserError` is printed and becomes
    its answer.

    Args:
        batches: of texts.
        answer: takes texts and the number of the first (from 1), and returns their answers; raises
            a `UserError` if any text is bad.
        write: prints an answer, or the error instead of it, given the index of the text (from 0).

    Raises:
        UserError: if a text of the command line is bad; after the last line, if any line was bad.
    """
    num_bad = count = 0
    for first, texts, is_input in batches:
        number = first + 1
        good = [text for text in texts if isinstance(text, str)]
        found = _answer_good(answer, texts, number) if is_input else answer(good, number)
        for index, (text, one) in enumerate(zip(texts, found, strict=True), first):
            if isinstance(one, UserError):
                print(f"error: {one}", file=sys.stderr)
                num_bad += 1
            write(index, text, one)
        sys.stdout.flush()
        count += len(texts)
    if num_bad:
        raise UserError(f"{num_bad} of {count} lines could not be answered: correct them")


def json_line(index: int, text: str, answer: Any) -> str:
    """Makes one line of JSON for an input.

    Args:
        index: of the input, from 0.
        text: the input.
        answer: a named tuple, a list of them, or the error instead of an answer.

    Example:
        >>> json_line(3, "two", UserError("line 4 is bad"))
        '{"index": 3, "input": "two", "error": "line 4 is bad"}'
    """
    if isinstance(answer, UserError):
        outcome = {"error": str(answer)}
    elif isinstance(answer, list):
        outcome = {"outputs": [output._asdict() for output in answer]}
    else:
        outcome = answer._asdict()
    return json.dumps({"index": index, "input": text} | outcome, ensure_ascii=False)


def _answer_good(
    answer: Callable[[list[str], int], Sequence[Any]], texts: Sequence[str | UserError], number: int
) -> list[Any]:
    """Halves the texts until bad ones are isolated; predictors reject texts before computing."""
    good = [text for text in texts if isinstance(text, str)]
    if len(good) == len(texts):
        try:
            return list(answer(good, number))
        except UserError as error:
            if len(texts) == 1:
                return [error]
    elif len(texts) == 1:
        return list(texts)
    half = len(texts) // 2
    return [
        *_answer_good(answer, texts[:half], number),
        *_answer_good(answer, texts[half:], number + half),
    ]


def standard_input(batch_lines: int, part: range | None = None) -> Iterator[list[str | UserError]]:
    """Yields the lines of standard input as they arrive, at most `batch_lines` at a time.

    A line never waits for later ones: a batch is smaller if no more lines have arrived. Only a line
    feed ends a line, as in `read_lines` of text files; a byte order mark at the beginning is
    dropped.

    Args:
        batch_lines: maximum number of lines in a batch.
        part: indices of the lines to yield, from 0; None: all.

    Yields:
        The lines; an error for a line that is not UTF-8.
    """
    first, end = (0, None) if part is None else (part.start, part.stop)
    if sys.stdin is None or first == end:  # closed by the parent process, or an empty part
        return
    number, lines = 0, list[str | UserError]()
    for line in _lines_as_they_arrive(sys.stdin.buffer):
        if line is not None:
            number += 1
            if number > first:
                lines.append(_decode(line, number))
        if lines and (line is None or number == end or len(lines) == batch_lines):
            yield lines
            lines = []
        if number == end:
            return


def _count_lines() -> int:
    """Counts the lines of standard input before they are read."""
    if sys.stdin is None:
        return 0
    stream = sys.stdin.buffer
    if not stream.seekable():
        raise UserError(
            "--shard counts the lines before it divides them, and a pipe cannot be read twice: "
            "give a file with < FILE"
        )
    start, count, last = stream.tell(), 0, b"\n"
    while chunk := stream.read(CHUNK_SIZE):
        count, last = count + chunk.count(b"\n"), chunk[-1:]
    stream.seek(start)
    return count + (last != b"\n")


def is_input_given() -> bool:
    """Whether standard input is a pipe or a file, and not closed, a terminal or /dev/null."""
    try:
        return not stat.S_ISCHR(os.fstat(sys.stdin.fileno()).st_mode)
    except (AttributeError, OSError):  # closed, or replaced within Python
        return sys.stdin is not None


def _lines_as_they_arrive(stream: BinaryIO) -> Iterator[bytes | None]:
    """Yields each line, and None before waiting for more and at the end."""
    begun: list[bytes] = []
    while True:
        if not _has_more(stream):
            yield None
        chunk = stream.read1(CHUNK_SIZE)  # type: ignore[attr-defined]
        if not chunk:
            break
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            yield b"".join([*begun, line])
            begun = []
        begun.append(rest)
    if any(begun):
        yield b"".join(begun)
    yield None


def _has_more(stream: BinaryIO) -> bool:
    """Whether a read would return immediately."""
    try:
        return bool(select.select([stream], [], [], 0)[0])
    except io.UnsupportedOperation:  # an in-memory stream
        return True
    except OSError:  # on Windows, select does not accept pipes
        return False


def _decode(line: bytes, number: int) -> str | UserError:
    try:
        # Editors that save "UTF-8 with BOM" write the mark; elsewhere it is a character.
        return line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        return UserError(
            f"standard input, line {number}, is not UTF-8 ({error.reason} at byte {error.start}): "
            "convert it, for example with iconv"
        )
