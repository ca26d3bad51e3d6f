"""Where a model looked while it read a text, or wrote another."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.models.attention_weights import attention_weights
from flax_transformer.tasks.task import Fields, Model, Variables


def text_attention(
    model: Model, variables: Variables, tokenizer: Tokenizer, *sides: Sequence[int]
) -> Fields:
    """Computes where a model looks, in one pass.

    Cached decoding computes the same for the hypothesis that a search has found, for it never
    depends on the others.

    Args:
        model: of texts.
        variables: of the model.
        tokenizer: names the tokens.
        *sides: token ids that the model reads, without padding: a text; of an encoder-decoder a
            source and what the decoder reads, the begin mark first.

    Returns:
        Arguments of `view_attention`: the weights of each part, and the names of the tokens.

    Raises:
        UserError: if the model's attention is cuDNN's, which never holds the weights.
    """
    inputs = [jnp.asarray(ids, jnp.int32)[None] for ids in sides]
    names = ("source_segments", "target_segments") if len(sides) > 1 else ("segments",)
    segments = dict(zip(names, map(jnp.ones_like, inputs), strict=True))
    found = attention_weights(model, variables, *inputs, **segments)
    weights = {part: np.asarray(array[:, 0]) for part, array in found.items()}
    tokens = zip(("tokens", "target_tokens"), map(tokenizer.names, sides), strict=False)
    return {"weights": weights, **dict(tokens)}
