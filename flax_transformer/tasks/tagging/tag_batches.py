"""Batches of tagged words; the label of a word is at its first token."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from flax_transformer.data.batches.batch import NO_CLASS, LabeledBatch
from flax_transformer.data.batches.examples import ExampleBatches, Examples, TextInputs
from flax_transformer.data.tokens.tokenized import TokenizedText
from flax_transformer.data.tokens.tokenizer import Tokenizer


def cut(
    tokenizer: Tokenizer,
    sentences: Iterable[Sequence[str]],
    tags: Iterable[Sequence[int]],
    max_length: int,
) -> tuple[TokenizedText, TokenizedText]:
    """Tokenizes each word separately and fills pieces of at most max_length tokens with them.

    A word that has more tokens than fit into a piece loses its last tokens.

    Args:
        tokenizer: of the words.
        sentences: the words of each sentence.
        tags: tag number of each word.
        max_length: largest number of tokens of a piece, marks included.

    Returns:
        The tokens of every piece between a begin and an end mark; and a label for each token: the
        tag number + 1 at the first token of a word, 0 elsewhere.

    Example:
        >>> tokenizer = Tokenizer.of_characters(["abc "])
        >>> tokens, labels = cut(tokenizer, [["a", "bc", "c"]], [[5, 6, 5]], max_length=7)
        >>> tokens.lengths.tolist()
        [6, 4]
        >>> labels.tokens.tolist()
        [0, 6, 7, 0, 0, 0, 0, 6, 0, 0]
    """
    begin, end = tokenizer.bos_id, tokenizer.eos_id
    tokens: list[list[int]] = []
    labels: list[list[int]] = []
    for words, given in zip(sentences, tags, strict=True):
        room = 0
        for word, tag in zip(encode_words(tokenizer, words), given, strict=True):
            word = word[: max_length - 2]
            if len(word) > room:
                tokens.append([begin])
                labels.append([0])
                room = max_length - 2
            tokens[-1] += word
            labels[-1] += [tag + 1, *[0] * (len(word) - 1)]
            room -= len(word)
    ended = ([*piece, end] for piece in tokens), ([*piece, 0] for piece in labels)
    return TokenizedText.of(ended[0]), TokenizedText.of(ended[1])


def encode_words(tokenizer: Tokenizer, words: Sequence[str]) -> list[list[int]]:
    """Encodes each word into at least one token; the space before a word belongs to it.

    Example:
        >>> encode_words(Tokenizer.of_characters(["ab "]), ["a", "b"])
        [[5], [4, 6]]
    """
    spaced = [word if i == 0 else f" {word}" for i, word in enumerate(words)]
    # A user's tokenizer may not know any part of a word.
    return [tokens or [tokenizer.mask_id] for tokens in tokenizer.encode_batch(spaced)]


class TagBatches(ExampleBatches):
    """Batches of pieces of about equal length.

    Args:
        tokens: of every piece, from `cut`.
        labels: of the same lengths.
        max_length: largest number of tokens of a piece.
        batch_size: rows of every batch.
        options: of `ExampleBatches`.

    Raises:
        UserError: as `ExampleBatches`.
    """

    def __init__(
        self,
        tokens: TokenizedText,
        labels: TokenizedText,
        max_length: int,
        batch_size: int,
        **options: Any,
    ):
        self._labels = labels
        no_classes = np.zeros(len(tokens.lengths), np.int32)
        super().__init__(
            Examples(TextInputs(tokens, max_length), no_classes), batch_size, **options
        )

    def make(self, indices: Int[np.ndarray, " rows"], form: Any) -> LabeledBatch:
        """Selects some pieces and their labels."""
        batch = super().make(indices, form)
        labels, _ = self._labels.pad(indices, batch.inputs.shape[1])
        return batch._replace(labels=labels + NO_CLASS)
