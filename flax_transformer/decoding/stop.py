"""Where an output ends because of what it says."""

from collections.abc import Sequence


def cut_at_stop(text: str, stop: Sequence[str]) -> str:
    """Gives what stands before the first stop string, or the whole text if there is none.

    Args:
        text: an output.
        stop: strings that end it; they are no part of what is given back.

    Returns:
        The beginning of the text.

    Example:
        >>> cut_at_stop("one, two. three", [".", ", "])
        'one'
    """
    return text[: min((text.index(string) for string in stop if string in text), default=len(text))]
