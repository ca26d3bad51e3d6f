"""Sentences as token ids, kept flat: one array of ids a side, and where each sentence starts."""

import itertools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int32, Int64

from flax_transformer.data.tokens.tokenizer import BOS, EOS, PAD, Tokenizer

CHUNK_SIZE = 65_536  # sentences whose ids are Python lists at one time


class TokenizedText(NamedTuple):
    """Sentences of ids: sentence i is `tokens[offsets[i]:offsets[i + 1]]`, EOS at its end.

    Example:
        >>> text = TokenizedText.of([[5, 2], [7, 3, 2]])
        >>> text.pad(np.array([1, 0, -1]), 4).tolist()
        [[7, 3, 2, 0], [5, 2, 0, 0], [0, 0, 0, 0]]
    """

    tokens: Int32[np.ndarray, " total"]
    offsets: Int64[np.ndarray, " sentences_and_one"]

    @classmethod
    def of(cls, sentences: Iterable[Iterable[int]]) -> "TokenizedText":
        """Lays sentences, which already end in EOS, end to end."""
        sentences = [list(sentence) for sentence in sentences]
        tokens = np.fromiter(itertools.chain.from_iterable(sentences), np.int32)
        return cls(tokens, _offsets([len(sentence) for sentence in sentences]))

    @classmethod
    def encode(
        cls, tokenizer: Tokenizer, texts: Iterable[str], *, begin: bool = False
    ) -> "TokenizedText":
        """Tokenises texts, and ends each in EOS; with `begin`, BOS comes first."""
        texts, parts, first = iter(texts), [cls.of([])], [BOS] if begin else []
        while chunk := list(itertools.islice(texts, CHUNK_SIZE)):
            parts.append(cls.of([*first, *ids, EOS] for ids in tokenizer.encode_batch(chunk)))
        lengths = np.concatenate([part.lengths for part in parts])
        return cls(np.concatenate([part.tokens for part in parts]), _offsets(lengths))

    @property
    def lengths(self) -> Int64[np.ndarray, " sentences"]:
        """Tokens of every sentence, EOS counted."""
        return np.diff(self.offsets)

    def select(self, indices: Int[np.ndarray, " chosen"]) -> "TokenizedText":
        """Gives some of the sentences, in the order asked for."""
        starts = self.offsets[indices]
        return self._take(starts, self.offsets[indices + 1] - starts)

    def cut(self, max_length: int) -> "TokenizedText":
        """Shortens long sentences to max_length tokens, the last of them EOS."""
        text = self._take(self.offsets[:-1], np.minimum(self.lengths, max_length))
        text.tokens[text.offsets[1:][self.lengths > max_length] - 1] = EOS
        return text

    def pad(
        self, indices: Int[np.ndarray, " rows"], length: int
    ) -> Int32[np.ndarray, "rows length"]:
        """Makes a batch of sentences, padded on the right; index -1 makes an empty row."""
        starts = self.offsets[indices]
        lengths = np.where(indices < 0, 0, self.offsets[indices + 1] - starts)
        batch = np.full((indices.size, length), PAD, np.int32)
        batch[np.arange(length) < lengths[:, None]] = self._take(starts, lengths).tokens
        return batch

    def _take(self, starts: np.ndarray, lengths: np.ndarray) -> "TokenizedText":
        return TokenizedText(self.tokens[ranges(starts, lengths)], _offsets(lengths))


class TokenizedPairs(NamedTuple):
    """Sentences and their translations; pair i is sentence i of both sides.

    `left_out` counts the pairs that a limit kept out, for the report.
    """

    source: TokenizedText
    target: TokenizedText
    left_out: int = 0

    @classmethod
    def without_targets(cls, source: TokenizedText) -> "TokenizedPairs":
        """Makes pairs to translate: every target is empty, even of its end mark."""
        return cls(source, TokenizedText.of([[]] * source.lengths.size))

    @property
    def num_pairs(self) -> int:
        """Number of pairs."""
        return self.source.lengths.size


def ranges(
    starts: Int[np.ndarray, " ranges"], lengths: Int[np.ndarray, " ranges"]
) -> Int64[np.ndarray, " total"]:
    """Counts up from every start, as often as its length says, end to end.

    Example:
        >>> ranges(np.array([3, 0, 7]), np.array([2, 0, 3])).tolist()
        [3, 4, 7, 8, 9]
    """
    offsets = _offsets(lengths)
    return np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)


def _offsets(lengths: np.ndarray | list[int]) -> Int64[np.ndarray, " sentences_and_one"]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
