"""The bytes of a text file, line by line: encoding, line ends, and characters."""

import codecs
from collections.abc import Iterable

from flax_transformer.data.checks.characters import KINDS, find_characters
from flax_transformer.data.checks.findings import NOTE, SERIOUS, Finding, Kind, Tally

INVALID = Kind(
    "invalid_utf8",
    SERIOUS,
    "bytes that are not UTF-8",
    "convert the file, for example with iconv -f LATIN1 -t UTF-8; training refuses it",
)
CRLF = Kind(
    "crlf",
    NOTE,
    "lines that end in a carriage return and a line feed",
    "nothing: they are read like others; other programs may need tr -d '\\r'",
)
BOM = Kind(
    "byte_order_mark",
    NOTE,
    "a byte order mark at the beginning",
    "nothing: it is left out; other programs may read it as part of the first word",
)


def check_lines(path: str, lines: Iterable[bytes]) -> list[Finding]:
    r"""Checks the bytes of a text file.

    Args:
        path: of the file, for the findings.
        lines: the lines with their ends.

    Returns:
        The findings; a line counts once for each kind of fault.

    Example:
        >>> found = check_lines("a.txt", [b"one\r\n", b"caf\xe9\n"])
        >>> [(one.kind.name, one.places[0].number, one.places[0].note) for one in found]
        [('crlf', 1, ''), ('invalid_utf8', 2, 'byte 8 of the file')]
    """
    tallies = {kind: Tally(kind) for kind in (BOM, CRLF, INVALID, *KINDS)}
    number = offset = 0
    for number, line in enumerate(lines, 1):
        start = len(codecs.BOM_UTF8) if number == 1 and line.startswith(codecs.BOM_UTF8) else 0
        content = line[start:].removesuffix(b"\n").removesuffix(b"\r")
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            text = content.decode(errors="backslashreplace")
            at = len(content[: error.start].decode(errors="backslashreplace"))
            byte = offset + start + error.start
            tallies[INVALID].add(number, text, at, f"byte {byte:,} of the file")
        else:
            for kind, at in find_characters(text):
                tallies[kind].add(number, text, at)
        if start:
            tallies[BOM].add(number, text)
        if line.endswith(b"\r\n"):
            tallies[CRLF].add(number, text)
        offset += len(line)
    return [tally.finding(path, "line", number) for tally in tallies.values() if tally.count]
