"""The text of tokens that come one by one."""

from collections.abc import Callable, Sequence

from flax_transformer.decoding.search import cut_at_stop

# What a tokenizer writes for bytes that are not a whole character yet.
INCOMPLETE = "\ufffd"


class GrowingText:
    """A text that is shown while it is written, up to its first stop string.

    Only what later tokens cannot change is shown: the last characters wait if they may be part of a
    letter or the beginning of a stop string.

    Args:
        decode: from tokens to text.
        stop: strings that end the text.

    Attributes:
        has_stopped: whether a stop string has come.

    Example:
        >>> text = GrowingText(lambda tokens: "".join(map(chr, tokens)), stop=[". "])
        >>> [text.add(ord(letter)) for letter in "a.b. c"]
        ['a', '', '.b', '', '', '']
        >>> text.has_stopped
        True
    """

    def __init__(self, decode: Callable[[list[int]], str], stop: Sequence[str] = ()):
        self._decode, self._stop = decode, stop
        self._tokens: list[int] = []
        self._shown = ""
        self.has_stopped = False

    def add(self, token: int) -> str:
        """Adds a token; returns the new part of the text that is certain."""
        if self.has_stopped:
            return ""
        self._tokens.append(token)
        whole = self._decode(self._tokens)
        text = cut_at_stop(whole, self._stop)
        self.has_stopped = text != whole
        return self._show(text if self.has_stopped else text[: len(text) - self._uncertain(text)])

    def end(self) -> str:
        """Returns the rest of the text."""
        return self._show(cut_at_stop(self._decode(self._tokens), self._stop))

    def _uncertain(self, text: str) -> int:
        """Number of last characters that may still change."""
        whole = text.rstrip(INCOMPLETE)
        begun = [
            size
            for stop in self._stop
            for size in range(1, len(stop))
            if whole.endswith(stop[:size])
        ]
        return len(text) - len(whole) + max(begun, default=0)

    def _show(self, text: str) -> str:
        # A tokenizer may write the beginning in another way once more tokens follow.
        if not text.startswith(self._shown):
            return ""
        new, self._shown = text[len(self._shown) :], text
        return new
