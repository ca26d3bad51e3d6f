"""Readable texts: every character is visible, and none changes the order of others."""

import operator
import unicodedata
from typing import SupportsIndex

from flax_transformer.errors import UserError

_SIGNS = {" ": "␣", "\t": "⇥", "\n": "⏎", "\r": "␍", "\u00a0": "⍽"}
_SHAPELESS = {"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"}
_DOTTED_CIRCLE = "◌"
_FIRST_STRONG_ISOLATE, _POP_DIRECTIONAL_ISOLATE = "\u2068", "\u2069"
# Bidirectional classes that do not change the direction of neighboring text.
_HARMLESS = {"L", "EN", "ES", "ET", "CS", "NSM", "BN", "B", "S", "WS", "ON", ""}


def visible_token(token: str | SupportsIndex) -> str:
    r"""Formats a token with every character visible.

    Blanks at its ends, tabs and line ends become signs. Other invisible characters (control
    characters, zero-width ones, marks of direction) become their numbers. An accent without a
    letter gets a dotted circle. An empty token becomes ∅, an id its number.

    Args:
        token: any string, or an id.

    Returns:
        A string of one line.

    Raises:
        UserError: if it is neither a string nor an id.

    Example:
        >>> visible_token(" the"), visible_token("a\tb"), visible_token("\u200b")
        ('␣the', 'a⇥b', '[U+200B]')
    """
    if not isinstance(token, str):
        try:
            return str(operator.index(token))
        except TypeError as error:
            kind = type(token).__name__
            raise UserError(f"a token is {token!r}, of type {kind}: give strings or ids") from error
    if not token:
        return "∅"
    inner = token.strip(" ")
    start = len(token) - len(token.lstrip(" "))
    shown = "".join(map(_visible_character, inner))
    if unicodedata.category(inner[:1] or " ").startswith("M"):
        shown = _DOTTED_CIRCLE + shown
    # A token of only blanks has all of them at its beginning.
    end = len(token) - start - len(inner)
    return _SIGNS[" "] * start + shown + _SIGNS[" "] * end


def isolated(text: str) -> str:
    r"""Isolates a text, so that its direction does not affect neighboring signs and numbers.

    Next to Arabic or Hebrew, arrows, brackets and numbers run from right to left, but not next to
    an isolate. A text without such letters is unchanged.

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
    """Formats the input and the output of a model, in this order for all scripts.

    Example:
        >>> arrow_title("two", "zwei")
        'two → zwei'
    """
    return f"{isolated(before)} → {isolated(after)}"


def _visible_character(character: str) -> str:
    if character == " ":
        return character
    if character in _SIGNS:
        return _SIGNS[character]
    # The last two code points of each plane are not characters, and XML rejects them.
    is_none = ord(character) & 0xFFFE == 0xFFFE
    if is_none or unicodedata.category(character) in _SHAPELESS:
        return f"[U+{ord(character):04X}]"
    return character
