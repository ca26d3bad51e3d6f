"""Batches of tagged words: the tag of a word is at its first token."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Int32

from flax_transformer.data.batches.batch import NO_CLASS
from flax_transformer.data.batches.examples import ExampleBatches, Examples, TextInputs
from flax_transformer.data.tokens.tokenized import TokenizedText
from flax_transformer.data.tokens.tokenizer import Tokenizer


class TagBatch(NamedTuple):
    """Some pieces of sentences and the tags of their words.

    Attributes:
        inputs: token ids.
        labels: number of the tag at the first token of each word, NO_CLASS elsewhere.
        segments: 1 at tokens and 0 at padding.
    """

    inputs: Int32[np.ndarray, "rows length"]
    labels: Int32[np.ndarray, "rows length"]
    segments: Int32[np.ndarray, "rows length"]

    def count(self) -> int:
        """Number of words."""
        return int(np.count_nonzero(self.labels != NO_CLASS))

    def describe(self) -> str:
        """Says how large it is, in a few words."""
        rows, length = self.inputs.shape
        return f"{rows:,} rows of {length:,} tokens"


class Pieces(NamedTuple):
    """Sentences cut into pieces of whole words, each with a begin and an end mark.

    Attributes:
        tokens: of every piece.
        labels: of the same lengths: 1 more than the tag's number at the first token of a word, 0
            elsewhere.
        sentences: number of the sentence that each piece is part of.
    """

    tokens: TokenizedText
    labels: TokenizedText
    sentences: Int[np.ndarray, " pieces"]


def cut(
    tokenizer: Tokenizer,
    sentences: Iterable[Sequence[str]],
    tags: Iterable[Sequence[int]],
    max_length: int,
) -> Pieces:
    """Tokenizes words, each by itself, and fills pieces of at most max_length tokens with them.

    A word of more tokens than fit into a piece loses its last ones.

    Args:
        tokenizer: of the words.
        sentences: words of each.
        tags: number of the tag of each word.
        max_length: tokens of a piece with its two marks.

    Example:
        >>> tokenizer = Tokenizer.of_characters(["abc "])
        >>> pieces = cut(tokenizer, [["a", "bc", "c"]], [[5, 6, 5]], max_length=7)
        >>> pieces.tokens.lengths.tolist(), pieces.sentences.tolist()
        ([6, 4], [0, 0])
        >>> pieces.labels.tokens.tolist()
        [0, 6, 7, 0, 0, 0, 0, 6, 0, 0]
    """
    begin, end = tokenizer.bos_id, tokenizer.eos_id
    tokens: list[list[int]] = []
    labels: list[list[int]] = []
    numbers: list[int] = []
    for number, (words, given) in enumerate(zip(sentences, tags, strict=True)):
        room = 0
        for word, tag in zip(encode_words(tokenizer, words), given, strict=True):
            word = word[: max_length - 2]
            if len(word) > room:
                tokens.append([begin])
                labels.append([0])
                numbers.append(number)
                room = max_length - 2
            tokens[-1] += word
            labels[-1] += [tag + 1, *[0] * (len(word) - 1)]
            room -= len(word)
    return Pieces(
        TokenizedText.of([*piece, end] for piece in tokens),
        TokenizedText.of([*piece, 0] for piece in labels),
        np.array(numbers, np.int64),
    )


def encode_words(tokenizer: Tokenizer, words: Sequence[str]) -> list[list[int]]:
    """Gives the tokens of each word, at least one; a space before a word is part of it.

    Example:
        >>> encode_words(Tokenizer.of_characters(["ab "]), ["a", "b"])
        [[5], [4, 6]]
    """
    spaced = [word if i == 0 else f" {word}" for i, word in enumerate(words)]
    # A tokenizer of somebody else may know no part of a word.
    return [tokens or [tokenizer.mask_id] for tokens in tokenizer.encode_batch(spaced)]


class TagBatches(ExampleBatches):
    """Batches of pieces of about equal length.

    Args:
        pieces: of all sentences.
        max_length: tokens of a piece at most.
        batch_size: rows of every batch.
        options: of `ExampleBatches`.

    Raises:
        UserError: as `ExampleBatches`.
    """

    def __init__(self, pieces: Pieces, max_length: int, batch_size: int, **options: Any):
        self._labels = pieces.labels
        no_classes = np.zeros(len(pieces.sentences), np.int32)
        examples = Examples(TextInputs(pieces.tokens, max_length), no_classes)
        super().__init__(examples, batch_size, **options)

    def make(self, indices: Int[np.ndarray, " rows"], form: Any) -> TagBatch:
        """Takes some pieces."""
        inputs = super().make(indices, form).inputs
        labels, segments = self._labels.pad(indices, inputs.shape[1])
        return TagBatch(inputs, labels + NO_CLASS, segments)
