"""Characters that rarely belong into a text, and the first place of one in it."""

import re
import unicodedata
from collections.abc import Callable

from flax_transformer.data.checks.findings import WARNING, Kind

SEPARATOR = Kind(
    "line_separator",
    WARNING,
    "another line separator inside of a line",
    "replace it by a space: other programs may end the line there",
)
CONTROL = Kind(
    "control_character",
    WARNING,
    "control characters",
    "remove them: they are rests of another format",
)
INVISIBLE = Kind(
    "invisible_character",
    WARNING,
    "invisible characters: zero-width, bidirectional or a byte order mark inside",
    "remove them, unless the script needs them",
)
REPLACED = Kind(
    "replacement_character",
    WARNING,
    "U+FFFD, the rest of a character that another program could not read",
    "make the file again from its source, with the right encoding",
)
NOT_NFC = Kind(
    "not_nfc",
    WARNING,
    "letters spelled in several code points, not in Unicode's normal form C",
    "normalize all files to NFC: equal letters should be equal tokens",
)
# All at which str.splitlines ends a line, except the line feed.
_SEPARATORS = re.compile("[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f]")
# Joiners have a meaning in Indic and Arabic scripts and in emoji: between two others than ASCII.
_INVISIBLE = re.compile(
    "[\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\ufff9-\ufffb"
    "\U000e0001]|(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])"
)


def find_not_nfc(text: str) -> int | None:
    r"""Returns the place of the first character that the normal form C changes.

    Example:
        >>> find_not_nfc("cafe\u0301"), find_not_nfc("caf\u00e9")
        (3, None)

    Reference:
        Unicode Standard Annex 15, "Unicode Normalization Forms".
    """
    if unicodedata.is_normalized("NFC", text):
        return None
    composed = unicodedata.normalize("NFC", text)
    same = (a == b for a, b in zip(text, composed, strict=False))
    return next((place for place, is_same in enumerate(same) if not is_same), len(composed))


def _first(pattern: re.Pattern[str]) -> Callable[[str], int | None]:
    return lambda text: found.start() if (found := pattern.search(text)) else None


# Kinds of faults, each with a function: text -> place of the first fault, or None.
_CHECKS = (
    (SEPARATOR, _first(_SEPARATORS)),
    (CONTROL, _first(_CONTROLS)),
    (INVISIBLE, _first(_INVISIBLE)),
    (REPLACED, lambda text: place if (place := text.find("\ufffd")) >= 0 else None),
    (NOT_NFC, find_not_nfc),
)
KINDS = tuple(kind for kind, _ in _CHECKS)
_PLAIN = re.compile("[\t -~]*")


def find_characters(text: str) -> list[tuple[Kind, int]]:
    r"""Returns the kinds of faults of a text, each with the place of its first one.

    Example:
        >>> [(kind.name, place) for kind, place in find_characters("a\x07b\u200b")]
        [('control_character', 1), ('invisible_character', 3)]
        >>> find_characters("Grüße\tan alle")
        []
    """
    if _PLAIN.fullmatch(text):
        return []
    found = ((kind, find(text)) for kind, find in _CHECKS)
    return [(kind, place) for kind, place in found if place is not None]
