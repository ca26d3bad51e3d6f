"""A model without a head, which gives vectors of texts."""

import dataclasses

from flax_transformer.tasks.given_texts import encode_text
from flax_transformer.tasks.task import Fields
from flax_transformer.tasks.text_predictor import TextPredictor
from flax_transformer.tasks.text_vectors import EmbedsTexts


@dataclasses.dataclass(eq=False)
class Embedder(TextPredictor, EmbedsTexts):
    """Gives vectors of many texts with a model that is loaded once.

    Attributes:
        pooling: default of `embed`.
        normalize: default of `embed`.
    """

    pooling: str
    normalize: bool

    def attend(self, text: str) -> Fields:
        """Computes the attention between the tokens of a text, for `view_attention`.

        Raises:
            UserError: if the text is blank or has more tokens than the model reads.
        """
        ids = encode_text(self.tokenizer, "text", text, self.max_length, begin=True, end=True)
        return {**self.attention(ids), "title": text}
