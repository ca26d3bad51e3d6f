"""Texts beside each other, each in its own direction of reading."""

import unicodedata

_FIRST_STRONG_ISOLATE, _POP_DIRECTIONAL_ISOLATE = "\u2068", "\u2069"
# Bidirectional classes that do not change the direction of the text beside them.
_HARMLESS = {"L", "EN", "ES", "ET", "CS", "NSM", "BN", "B", "S", "WS", "ON", ""}


def isolated(text: str) -> str:
    r"""Keeps the direction of a text from changing that of signs and numbers beside it.

    Beside Arabic or Hebrew, arrows, brackets and numbers run from right to left; not beside an
    isolate. A text without such letters stays as it is.

    Args:
        text: any string.

    Returns:
        The text, between U+2068 and U+2069 if needed.

    Example:
        >>> isolated("left"), isolated("\u05d0")
        ('left', '\u2068א\u2069')

    Reference:
        Unicode Standard Annex 9, "Unicode Bidirectional Algorithm", section 2.4 (isolates).
    """
    if all(unicodedata.bidirectional(character) in _HARMLESS for character in text):
        return text
    return f"{_FIRST_STRONG_ISOLATE}{text}{_POP_DIRECTIONAL_ISOLATE}"


def arrow_title(before: str, after: str) -> str:
    """Writes the input and the output of a model, in this order whatever the scripts are.

    Example:
        >>> arrow_title("two", "zwei")
        'two → zwei'
    """
    return f"{isolated(before)} → {isolated(after)}"
