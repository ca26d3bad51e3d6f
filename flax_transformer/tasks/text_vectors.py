"""Vectors of texts, which every encoder-only model gives, whatever it was trained for."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int

from flax_transformer.data.batches.examples import ExampleBatches, Examples, TextInputs
from flax_transformer.data.tokens.tokenized import TokenizedText
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.errors import unknown_part
from flax_transformer.functional.kernels.jit_by_rows import jit_by_rows
from flax_transformer.functional.pooling import POOLINGS
from flax_transformer.tasks.given_texts import list_texts, warn_of_cut_texts
from flax_transformer.tasks.task import Model, Variables

ROWS = 64  # rows of a batch: enough to keep the processor busy
SMALLEST_NORM = 1e-12  # a vector of zeros stays one


class EmbedsTexts:
    """A predictor whose model is encoder-only.

    Attributes:
        model: an `EncoderOnly`.
        variables: of the model.
        tokenizer: of the model.
        max_length: tokens that the model reads at a time, marks included.
        pooling: default of `embed`.
        normalize: default of `embed`.
    """

    model: Model
    variables: Variables
    tokenizer: Tokenizer
    max_length: int
    pooling: str = "mean"
    normalize: bool = False

    def embed(
        self,
        texts: str | Sequence[str],
        pooling: str | None = None,
        normalize: bool | None = None,
    ) -> Float32[np.ndarray, "texts d_model"]:
        """Computes a vector of each text from the output of the last layer.

        e = pool(h), or pool(h) / |pool(h)|,  where h are the vectors of the tokens and marks

        Args:
            texts: any texts; a string is one text. A text is cut after max_length tokens, with a
                `CutTextWarning`.
            pooling: mean or max of the tokens, or first: the first token, which is the class token
                of BERT. None: the mean, or what the published folder says.
            normalize: whether to divide each vector by its length, so that scalar products are
                cosines. None: no, or what the published folder says.

        Returns:
            One vector for each text, in order.

        Raises:
            UserError: if a text is not a string or the pooling is unknown.

        Reference:
            Reimers and Gurevych 2019, "Sentence-BERT", section 3.
        """
        pooling = self.pooling if pooling is None else pooling
        if pooling not in POOLINGS:
            raise unknown_part("--pooling", pooling, POOLINGS)
        read = TokenizedText.encode(self.tokenizer, list_texts(texts), begin=True)
        inputs = TextInputs(read, self.max_length)
        warn_of_cut_texts(inputs)
        vectors = np.zeros((len(inputs), self.model.config.d_model), np.float32)
        if not len(inputs):
            return vectors
        examples = Examples(inputs, np.zeros(len(inputs), np.int32))
        for indices, batch in ExampleBatches(examples, min(ROWS, len(inputs)), seed=None).epoch():
            found = _vectors(
                self.model,
                self.variables,
                batch.inputs,
                batch.segments,
                pool=POOLINGS[pooling],
                normalize=self.normalize if normalize is None else normalize,
            )
            is_filled = indices >= 0
            vectors[indices[is_filled]] = np.asarray(found)[is_filled]
        return vectors


def text_vectors(
    model: Model,
    variables: Variables,
    tokens: Int[Array, "rows length"],
    segments: Int[Array, "rows length"],
    *,
    pool: Callable[[Array, Array | None], Array],
    normalize: bool,
) -> Float[Array, "rows d_model"]:
    """Computes the vectors of the rows of a batch, in float32.

    Args:
        model: an `EncoderOnly`.
        variables: of the model.
        tokens: token ids.
        segments: 1 at tokens and 0 at padding.
        pool: a function of `POOLINGS`.
        normalize: whether to divide each vector by its length.
    """
    hidden = model.apply(variables, tokens, segments=segments).astype(jnp.float32)
    vectors = jax.vmap(pool)(hidden, segments != 0)
    if not normalize:
        return vectors
    norms = jnp.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / jnp.maximum(norms, SMALLEST_NORM)


_vectors = jit_by_rows(
    text_vectors, rows=("tokens", "segments"), static_argnames=("model", "pool", "normalize")
)
