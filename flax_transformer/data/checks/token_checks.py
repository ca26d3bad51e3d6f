"""What a tokenizer does to texts: unknown characters, bytes instead of letters, long texts."""

import contextlib
import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from flax_transformer.data.checks.findings import NOTE, WARNING, Kind
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.errors import UserError

UNKNOWN = Kind(
    "unknown_token",
    WARNING,
    "texts with characters or words that the tokenizer does not know",
    "choose another tokenizer, or learn one from these texts: a model cannot see or write them",
    serious_share=0.05,
)
SPELLED = Kind(
    "spelled_in_bytes",
    NOTE,
    "texts with characters that the tokenizer spells byte by byte",
    "nothing if they are rare; otherwise a larger vocabulary, or a tokenizer of these languages",
)
TOO_LONG = Kind(
    "too_long",
    WARNING,
    "texts with more tokens than max_length",
    "raise --data.max-length, or split them: pairs are left out of training, other texts are cut",
)
# Letters of scripts that are hardly written: a tokenizer that keeps them keeps all characters.
_RARE_LETTERS = "\U00012000\U00013000\U00010a10"
_BLANKS = " \u2581\u0120"  # also those of SentencePiece and of byte-level tokenizers
_BYTES = re.compile(r"\\x[0-9a-f]{2}|<0x[0-9A-Fa-f]{2}>")


class TokenFaults(NamedTuple):
    """What a tokenizer does to each of some texts.

    Attributes:
        is_unknown: whether it does not know a part of the text.
        is_spelled: whether it spells a character of the text in bytes.
        is_long: whether the text has more than max_length tokens.
    """

    is_unknown: Bool[np.ndarray, " texts"]
    is_spelled: Bool[np.ndarray, " texts"]
    is_long: Bool[np.ndarray, " texts"]


class TokenChecks:
    """Checks what a tokenizer does to texts.

    Args:
        tokenizer: of the model.
        max_length: largest number of tokens of a text with its marks; None without a limit.
        begin: whether a text has a begin mark besides its end mark.
    """

    def __init__(self, tokenizer: Tokenizer, max_length: int | None = None, begin: bool = False):
        self.tokenizer, self.max_length = tokenizer, max_length
        self._num_marks = 1 + begin
        names = tokenizer.names(range(tokenizer.vocab_size))
        self._in_bytes = np.array([_BYTES.search(name) is not None for name in names])
        self._unknown = np.isin(np.arange(len(names)), _unknown_ids(tokenizer))
        self._is_dropped = functools.cache(lambda c: not c.isspace() and not tokenizer.encode(c))

    def check(self, texts: Sequence[str]) -> TokenFaults:
        """Checks some texts.

        Example:
            >>> checks = TokenChecks(Tokenizer.of_characters(["abc"]), max_length=4)
            >>> faults = checks.check(["abc", "abx", "abca"])
            >>> faults.is_unknown.tolist(), faults.is_long.tolist()
            ([False, True, False], [False, False, True])
        """
        ids, lengths = self.tokenizer.encode_flat(texts)
        rows = np.repeat(np.arange(len(texts)), lengths)
        unknown, in_bytes = (
            np.bincount(rows[table[ids]], minlength=len(texts)) > 0
            for table in (self._unknown, self._in_bytes)
        )
        # Some tokenizers leave out what they do not know.
        unknown |= np.array([any(map(self._is_dropped, set(text))) for text in texts], bool)
        limit = np.inf if self.max_length is None else self.max_length
        return TokenFaults(unknown, in_bytes, lengths + self._num_marks > limit)

    def first_fault(self, text: str, kind: Kind) -> int:
        """Returns the place of the first character that has a fault by itself; 0 if none has."""
        table = {UNKNOWN: self._unknown, SPELLED: self._in_bytes}.get(kind)
        if table is None:
            return 0
        faults = (
            table[self.tokenizer.encode(c)].any() or (kind is UNKNOWN and self._is_dropped(c))
            for c in text
        )
        return next((place for place, is_fault in enumerate(faults) if is_fault), 0)


def _unknown_ids(tokenizer: Tokenizer) -> list[int]:
    """The ids that replace what a tokenizer does not know; none if it keeps every character."""
    given: set[int] = set() if tokenizer.special.unk is None else {tokenizer.special.unk}
    rows: list[list[int]] = []
    # One without a replacement refuses such texts.
    with contextlib.suppress(UserError):
        rows = tokenizer.encode_batch(list(_RARE_LETTERS))
    decoded = list(map(tokenizer.decode, rows))
    if not rows or all(map(str.__contains__, decoded, _RARE_LETTERS)):
        return sorted(given)
    common = set.intersection(*map(set, rows))
    # A piece that only marks the beginning of a word replaces nothing.
    return sorted(given | {i for i in common if tokenizer.names([i])[0].strip(_BLANKS)})
