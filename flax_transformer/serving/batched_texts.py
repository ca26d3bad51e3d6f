"""A trained model of texts, whose answers are computed in batches of one padded length."""

import abc

from flax_transformer.data.batches.batches import padded_length
from flax_transformer.serving.batched_model import BatchedModel
from flax_transformer.serving.limits import RequestError


class BatchedTexts(BatchedModel):
    """A model of texts; the size of one is its padded length.

    Args:
        name: see `ServedModel`.
        predictor: see `ServedModel`.
        limits: see `ServedModel`.
    """

    unit = "texts"

    @abc.abstractmethod
    def num_tokens(self, text: str) -> int:
        """Counts the tokens that the model reads of a text."""

    def sizes(self) -> list[int]:
        """Returns all padded lengths."""
        longest = self.max_length
        return sorted({padded_length(length, longest) for length in range(1, longest + 1)})

    def size_of(self, value: str) -> int:
        """Returns the padded length of a text.

        Raises:
            RequestError: if the text is longer than the model reads.
        """
        tokens, longest = self.num_tokens(value), self.max_length
        if tokens > longest:
            raise RequestError(
                413, f"a text has {tokens} tokens, but {self.name} reads {longest}: divide it"
            )
        return padded_length(max(tokens, 1), longest)

    def example(self, size: int) -> str:
        """Makes a text of a padded length, as far as there is one."""
        texts = (" ".join(["a"] * words) for words in range(size, 0, -1))
        return next((text for text in texts if self.num_tokens(text) <= size), "a")
