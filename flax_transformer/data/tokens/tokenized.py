"""Sentences as token ids, stored flat: one array of ids per side, and offsets of sentences."""

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int32, Int64

from flax_transformer.data.tokens.tokenizer import Tokenizer

CHUNK_SIZE = 16_384  # texts that are encoded at one time


class TokenizedText(NamedTuple):
    """Sentences as ids: sentence i is `tokens[offsets[i]:offsets[i + 1]]`, including its end mark.

    The arrays may be memory-mapped.

    Example:
        >>> text = TokenizedText.of([[5, 2], [7, 3, 4, 2]])
        >>> tokens, segments = text.pad(np.array([1, 0, -1]), 3)
        >>> tokens.tolist(), segments.tolist()
        ([[7, 3, 2], [5, 2, 0], [0, 0, 0]], [[1, 1, 1], [1, 1, 0], [0, 0, 0]])
    """

    tokens: Int32[np.ndarray, " total"]
    offsets: Int64[np.ndarray, " sentences_and_one"]

    @classmethod
    def of(cls, sentences: Iterable[Iterable[int]]) -> "TokenizedText":
        """Concatenates sentences, which already have their marks."""
        sentences = [list(sentence) for sentence in sentences]
        tokens = np.fromiter(itertools.chain.from_iterable(sentences), np.int32)
        return cls(tokens, offsets_of([len(sentence) for sentence in sentences]))

    @classmethod
    def encode(
        cls, tokenizer: Tokenizer, texts: Iterable[str], *, begin: bool = False
    ) -> "TokenizedText":
        """Tokenizes texts, with an end mark after each; with `begin`, a begin mark comes first."""
        return join([cls.of([]), *encode_parts(tokenizer, texts, begin=begin)])

    @property
    def lengths(self) -> Int64[np.ndarray, " sentences"]:
        """Number of tokens of every sentence, including marks."""
        return np.diff(self.offsets)

    def select(self, indices: Int[np.ndarray, " chosen"]) -> "TokenizedText":
        """Returns some of the sentences, in the given order."""
        starts = self.offsets[indices]
        return self._take(starts, self.offsets[indices + 1] - starts)

    def cut(self, max_length: int) -> "TokenizedText":
        """Shortens long sentences to max_length tokens; the last one is their end mark."""
        text = self._take(self.offsets[:-1], np.minimum(self.lengths, max_length))
        is_long = self.lengths > max_length
        text.tokens[text.offsets[1:][is_long] - 1] = self.tokens[self.offsets[1:][is_long] - 1]
        return text

    def pad(
        self, indices: Int[np.ndarray, " rows"], length: int
    ) -> tuple[Int32[np.ndarray, "rows length"], Int32[np.ndarray, "rows length"]]:
        """Builds a batch of sentences, padded on the right with zeros; index -1 is an empty row.

        A longer sentence is shortened as by `cut`.

        Returns:
            The tokens, and segments: 1 for tokens and 0 for padding.
        """
        starts, ends = self.offsets[indices], self.offsets[indices + 1]
        lengths = np.where(indices < 0, 0, np.minimum(ends - starts, length))
        segments = (np.arange(length) < lengths[:, None]).astype(np.int32)
        batch = np.zeros(segments.shape, np.int32)
        batch[segments > 0] = self._take(starts, lengths).tokens
        is_cut = lengths < np.where(indices < 0, 0, ends - starts)
        batch[is_cut, -1] = self.tokens[ends[is_cut] - 1]
        return batch, segments

    def _take(self, starts: np.ndarray, lengths: np.ndarray) -> "TokenizedText":
        return TokenizedText(self.tokens[ranges(starts, lengths)], offsets_of(lengths))


class TokenizedPairs(NamedTuple):
    """Sentences and their translations; pair i is sentence i of both sides.

    `left_out` counts the pairs excluded by a limit, for the report.
    """

    source: TokenizedText
    target: TokenizedText
    left_out: int = 0

    @classmethod
    def without_targets(cls, source: TokenizedText) -> "TokenizedPairs":
        """Makes pairs to translate: every target is empty and has no end mark."""
        return cls(source, TokenizedText.of([[]] * source.lengths.size))

    @property
    def num_pairs(self) -> int:
        """Number of pairs."""
        return self.source.lengths.size


def encode_parts(
    tokenizer: Tokenizer, texts: Iterable[str], *, begin: bool = False
) -> Iterator[TokenizedText]:
    """Tokenizes texts as `TokenizedText.encode` does, a few thousand at a time."""
    texts = iter(texts)
    while chunk := list(itertools.islice(texts, CHUNK_SIZE)):
        tokens, lengths = tokenizer.encode_marked(chunk, begin=begin)
        yield TokenizedText(tokens, offsets_of(lengths))


def join(texts: Iterable[TokenizedText]) -> TokenizedText:
    """Concatenates texts; there must be at least one."""
    parts = list(texts)
    lengths = np.concatenate([part.lengths for part in parts])
    return TokenizedText(np.concatenate([part.tokens for part in parts]), offsets_of(lengths))


def ranges(
    starts: Int[np.ndarray, " ranges"], lengths: Int[np.ndarray, " ranges"]
) -> Int64[np.ndarray, " total"]:
    """Counts up from every start, as many numbers as its length, and concatenates the results.

    Example:
        >>> ranges(np.array([3, 0, 7]), np.array([2, 0, 3])).tolist()
        [3, 4, 7, 8, 9]
    """
    offsets = offsets_of(lengths)
    return np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)


def offsets_of(lengths: np.ndarray | list[int]) -> Int64[np.ndarray, " sentences_and_one"]:
    """Returns the start of each of several adjacent sequences, and the end of the last one."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
