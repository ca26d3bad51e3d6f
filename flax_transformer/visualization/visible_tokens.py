"""Tokens as people can see them: no character is invisible, none changes the order of others."""

import operator
import unicodedata
from typing import SupportsIndex

from flax_transformer.errors import UserError

_SIGNS = {" ": "␣", "\t": "⇥", "\n": "⏎", "\r": "␍", "\u00a0": "⍽"}
_SHAPELESS = {"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"}
_DOTTED_CIRCLE = "◌"


def visible_token(token: str | SupportsIndex) -> str:
    r"""Writes a token so that every character of it is seen.

    Blanks at its ends, tabs and line ends become signs; what else has no shape (control
    characters, zero-width ones, marks of direction) becomes its number; an accent without a letter
    gets a dotted circle; no character at all is written ∅. An id is written as its number.

    Args:
        token: any string, or an id.

    Returns:
        A string of one line.

    Raises:
        UserError: if it is neither.

    Example:
        >>> visible_token(" the"), visible_token("a\tb"), visible_token("\u200b")
        ('␣the', 'a⇥b', '[U+200B]')
    """
    if not isinstance(token, str):
        return _id(token)
    if not token:
        return "∅"
    inner = token.strip(" ")
    start = len(token) - len(token.lstrip(" "))
    shown = "".join(map(_visible_character, inner))
    if unicodedata.category(inner[:1] or " ").startswith("M"):
        shown = _DOTTED_CIRCLE + shown
    # Of blanks alone, all stand at the beginning.
    end = len(token) - start - len(inner)
    return _SIGNS[" "] * start + shown + _SIGNS[" "] * end


def _id(token: SupportsIndex) -> str:
    try:
        return str(operator.index(token))
    except TypeError as error:
        raise UserError(
            f"a token is {token!r}, of type {type(token).__name__}: give strings or ids"
        ) from error


def _visible_character(character: str) -> str:
    if character == " ":
        return character
    if character in _SIGNS:
        return _SIGNS[character]
    # The last two numbers of each plane are no characters, and XML refuses them.
    is_none = ord(character) & 0xFFFE == 0xFFFE
    if is_none or unicodedata.category(character) in _SHAPELESS:
        return f"[U+{ord(character):04X}]"
    return character
