"""A trained model that tags the words of sentences."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from flax_transformer.data.batches.batch import NO_CLASS
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.errors import UserError
from flax_transformer.models.attention_weights import attention_weights
from flax_transformer.models.encoder_only import EncoderOnly
from flax_transformer.tasks.tagging.tag_batches import Pieces, TagBatch, TagBatches, cut
from flax_transformer.tasks.task import Variables
from flax_transformer.visualization.visible_text import arrow_title

ROWS = 64  # of a batch: enough to keep the processor busy


class TaggedWord(NamedTuple):
    """A word and what a model says of it.

    Attributes:
        word: as it was given.
        tag: the most probable one.
        probability: of this tag.
    """

    word: str
    tag: str
    probability: float


@dataclasses.dataclass
class Tagger:
    """Tags the words of many sentences with a model that is loaded once.

    Attributes:
        model: an encoder of tokens whose classes are the tags.
        variables: its parameters.
        tokenizer: of the words.
        tags: names in the order of their numbers.
        max_length: tokens of a piece of a sentence at most.
    """

    model: Any
    variables: Variables
    tokenizer: Tokenizer
    tags: tuple[str, ...]
    max_length: int

    def __post_init__(self) -> None:
        """Compiles the model when it is first used."""
        self._predict = jax.jit(self._probabilities)

    def tag(self, sentences: Sequence[str | Sequence[str]]) -> list[list[TaggedWord]]:
        """Tags every word of each sentence.

        Args:
            sentences: words; or a text, whose words are separated by spaces.

        Raises:
            UserError: if a word cannot be encoded.
        """
        words = [s.split() if isinstance(s, str) else list(s) for s in sentences]
        pieces = cut(
            self.tokenizer, words, ([0] * len(sentence) for sentence in words), self.max_length
        )
        tagged: list[list[TaggedWord]] = [[] for _ in words]
        for sentence, probabilities in zip(pieces.sentences, self.predict(pieces), strict=True):
            for row in probabilities:
                word = words[sentence][len(tagged[sentence])]
                best = int(row.argmax())
                tagged[sentence].append(TaggedWord(word, self.tags[best], float(row[best])))
        return tagged

    def predict(self, pieces: Pieces) -> Iterator[Float[np.ndarray, "words tags"]]:
        """Gives the probabilities of the tags of all words, piece by piece in their order."""
        found: list[np.ndarray] = [np.zeros((0, len(self.tags)))] * len(pieces.sentences)
        rows = max(min(ROWS, len(found)), 1)
        for indices, batch in TagBatches(pieces, self.max_length, rows, seed=None).epoch():
            probabilities = np.asarray(self._predict(self.variables, batch))
            for index, row, labels in zip(indices, probabilities, batch.labels, strict=True):
                if index >= 0:
                    found[index] = row[labels != NO_CLASS]
        yield from found

    def attend(self, example: str) -> dict[str, Any]:
        """Computes which tokens of a sentence look at which as its words are tagged.

        `view_attention(**tagger.attend(sentence))` shows it.

        Args:
            example: a text, whose words are separated by spaces.

        Returns:
            The arguments of `view_attention`; the title has the tags.

        Raises:
            UserError: if the text has no word or does not fit into one piece.
        """
        words = example.split()
        pieces = cut(self.tokenizer, [words], [[0] * len(words)], self.max_length)
        if len(pieces.sentences) != 1:
            raise UserError(
                f"a sentence to look at must have 1 to {self.max_length - 2} tokens: give another"
            )
        tokens = jnp.asarray(pieces.tokens.tokens)[None]
        found = attention_weights(
            self.model, self.variables, tokens, segments=jnp.ones_like(tokens)
        )
        (tagged,) = self.tag([words])
        return {
            "weights": {"encoder": np.asarray(found["encoder"][:, 0])},
            "tokens": self.tokenizer.names(pieces.tokens.tokens.tolist()),
            "title": arrow_title(example, " ".join(word.tag for word in tagged)),
        }

    def _probabilities(self, variables: Variables, batch: TagBatch) -> Array:
        inputs, segments = jnp.asarray(batch.inputs), jnp.asarray(batch.segments)
        logits: Any = self.model.apply(variables, inputs, segments, method=tag_logits)
        return jax.nn.softmax(logits.astype(jnp.float32))


def show(tagged: Iterable[TaggedWord]) -> str:
    """Writes the words of a sentence in one line, each with its tag.

    Example:
        >>> show([TaggedWord("two", "NUM", 0.9), TaggedWord("ways", "NOUN", 0.8)])
        'two/NUM ways/NOUN'
    """
    return " ".join(f"{word.word}/{word.tag}" for word in tagged)


def tag_logits(
    model: EncoderOnly,
    tokens: Int[Array, "batch length"],
    segments: Int[Array, "batch length"],
    deterministic: bool = True,
) -> Float[Array, "batch length tags"]:
    """Scores the tags of every token by the model's classifier: a method of the model.

    Args:
        model: whose classes are the tags.
        tokens: token ids.
        segments: 1 at tokens and 0 at padding.
        deterministic: no dropout.
    """
    return model.classifier(model(tokens, segments=segments, deterministic=deterministic))
