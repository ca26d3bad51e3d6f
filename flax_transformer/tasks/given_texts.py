"""Texts as users give them to a predictor."""

from collections.abc import Iterable

from flax_transformer.errors import UserError


def list_texts(texts: str | Iterable[str]) -> list[str]:
    """Makes a list of the texts; a string is one text, not its letters.

    Args:
        texts: one, or several.

    Raises:
        UserError: if one is not a string.

    Example:
        >>> list_texts("two"), list_texts(("two", "six"))
        (['two'], ['two', 'six'])
    """
    if isinstance(texts, str):
        return [texts]
    texts = list(texts)
    for number, text in enumerate(texts, 1):
        if not isinstance(text, str):
            raise UserError(
                f"text {number} is not a string but {text!r:.60}: give a list of strings"
            )
    return texts
