"""Cuts outputs at stop strings."""

from collections.abc import Sequence


def cut_at_stop(text: str, stop: Sequence[str]) -> str:
    """Gives the text before the first stop string, or the whole text if there is none.

    Args:
        text: an output.
        stop: strings that end it; they are not part of the result.

    Returns:
        The beginning of the text.

    Example:
        >>> cut_at_stop("one, two. three", [".", ", "])
        'one'
    """
    return text[: min((text.index(string) for string in stop if string in text), default=len(text))]
