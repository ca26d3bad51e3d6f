"""A trained model that tags the words of sentences."""

import dataclasses
from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from flax_transformer.data.batches.batch import NO_CLASS, LabeledBatch
from flax_transformer.data.tokens.tokenized import TokenizedText
from flax_transformer.errors import UserError
from flax_transformer.functional.kernels.jit_by_rows import jit_by_rows
from flax_transformer.models.encoder_only import EncoderOnly
from flax_transformer.modules.observe import observe
from flax_transformer.tasks.tagging.tag_batches import TagBatches, cut
from flax_transformer.tasks.task import Fields, Model, Variables
from flax_transformer.tasks.text_predictor import TextPredictor
from flax_transformer.tasks.text_vectors import EmbedsTexts
from flax_transformer.visualization.visible_text import arrow_title

ROWS = 64  # rows of a batch: enough to keep the processor busy


class TaggedWord(NamedTuple):
    """A word and its predicted tag.

    Attributes:
        word: as given.
        tag: the most probable tag.
        probability: of this tag.
    """

    word: str
    tag: str
    probability: float


@dataclasses.dataclass(eq=False)
class Tagger(TextPredictor, EmbedsTexts):
    """Tags the words of many sentences with a model that is loaded once.

    Attributes:
        tags: names in the order of the tag numbers.
    """

    tags: tuple[str, ...]

    def tag(self, sentences: Sequence[str | Sequence[str]]) -> list[list[TaggedWord]]:
        """Tags every word of each sentence.

        Args:
            sentences: lists of words, or texts with spaces between words.

        Raises:
            UserError: if a word cannot be encoded.
        """
        words = [s.split() if isinstance(s, str) else list(s) for s in sentences]
        return self.name_tags(words, self.predict(*self._cut(words)))

    def name_tags(
        self, sentences: Iterable[Sequence[str]], probabilities: Float[np.ndarray, "words tags"]
    ) -> list[list[TaggedWord]]:
        """Predicts the most probable tag of every word of some sentences."""
        best = (self.tags[number] for number in probabilities.argmax(axis=1))
        of_words = zip(best, probabilities.max(axis=1).tolist(), strict=True)
        return [[TaggedWord(word, *next(of_words)) for word in words] for words in sentences]

    def predict(
        self, tokens: TokenizedText, labels: TokenizedText
    ) -> Float[np.ndarray, "words tags"]:
        """Computes the probabilities of the tags of all words of some pieces, in order."""
        num_pieces = len(tokens.lengths)
        # One entry more than pieces: rows that only fill a batch have index -1 and no word.
        found = [np.zeros((0, len(self.tags)), np.float32)] * (num_pieces + 1)
        rows = max(min(ROWS, num_pieces), 1)
        for indices, batch in TagBatches(tokens, labels, self.max_length, rows, seed=None).epoch():
            probabilities = np.asarray(_predict(self.model, self.variables, batch))
            for index, row, of_row in zip(indices, probabilities, batch.labels, strict=True):
                found[index] = row[of_row != NO_CLASS]
        return np.concatenate(found)

    def answer(self, text: str) -> str:
        """Returns the tags of the words of a text, with spaces between them."""
        (tagged,) = self.tag([text])
        return " ".join(word.tag for word in tagged)

    def attend(self, example: str) -> Fields:
        """Computes the attention between the tokens of a sentence.

        `view_attention(**tagger.attend(sentence))` shows it.

        Args:
            example: a text with spaces between words.

        Returns:
            The arguments of `view_attention`; the title has the tags.

        Raises:
            UserError: if the text has no word or does not fit into one piece.
        """
        tokens, _ = self._cut([example.split()])
        if len(tokens.lengths) != 1:
            raise UserError(
                f"a sentence to look at must have 1 to {self.max_length - 2} tokens: give another"
            )
        title = arrow_title(example, self.answer(example))
        return {**self.attention(tokens.tokens.tolist()), "title": title}

    def _cut(self, words: list[list[str]]) -> tuple[TokenizedText, TokenizedText]:
        any_tags = ([0] * len(sentence) for sentence in words)
        return cut(self.tokenizer, words, any_tags, self.max_length)


def show(tagged: Iterable[TaggedWord]) -> str:
    """Formats a tagged sentence as one line.

    Example:
        >>> show([TaggedWord("two", "NUM", 0.9), TaggedWord("ways", "NOUN", 0.8)])
        'two/NUM ways/NOUN'
    """
    return " ".join(f"{word.word}/{word.tag}" for word in tagged)


def tag_logits(
    model: EncoderOnly,
    tokens: Int[Array, "batch length"],
    segments: Int[Array, "batch length"] | None = None,
    deterministic: bool = True,
) -> Float[Array, "batch length tags"]:
    """Computes the logits of the tags of every token: a method of the model.

    Args:
        model: its classes are the tags.
        tokens: token ids.
        segments: 1 at tokens and 0 at padding; None: no padding.
        deterministic: no dropout.
    """
    hidden = model(tokens, segments=segments, deterministic=deterministic)
    return observe(model, "logits", model.classifier(hidden))


@partial(jit_by_rows, rows=("batch",), static_argnames=("model",))
def _predict(
    model: Model, variables: Variables, batch: LabeledBatch
) -> Float[Array, "rows length tags"]:
    segments = jnp.asarray(batch.segments)
    logits = model.apply(variables, jnp.asarray(batch.inputs), segments, method=tag_logits)
    return jax.nn.softmax(logits.astype(jnp.float32))
