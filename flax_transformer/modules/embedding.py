"""Token embeddings, tied to the logits, and positions."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flax_transformer.functional.positional import SCHEMES


class TokenEmbedding(nn.Module):
    """One matrix for source tokens, target tokens and logits.

    embed(token) = sqrt(d_model) E[token],  logits(x) = x E^T

    Attributes:
        vocab_size: number of tokens.
        d_model: width of the embeddings.
        dtype: type of the computation; parameters are float32.

    Parameters:
        table/embedding [vocab_size, d_model].

    Reference:
        Vaswani et al. 2017, section 3.4; Press and Wolf 2017.
    """

    vocab_size: int
    d_model: int
    dtype: jax.typing.DTypeLike = "float32"

    def setup(self) -> None:
        """Creates the matrix."""
        init = nn.initializers.normal(self.d_model**-0.5)
        self.table = nn.Embed(self.vocab_size, self.d_model, dtype=self.dtype, embedding_init=init)

    def __call__(self, tokens: Int[Array, "*batch"]) -> Float[Array, "*batch d_model"]:
        """Looks tokens up, scaled to unit variance."""
        return self.table(tokens) * jnp.asarray(self.d_model**0.5, self.dtype)

    def logits(self, hidden: Float[Array, "*batch d_model"]) -> Float[Array, "*batch vocab"]:
        """Scores every token of the vocabulary."""
        return self.table.attend(hidden)


class PositionalEmbedding(nn.Module):
    """Adds what a positional scheme adds; holds the table of a learned one.

    Attributes:
        scheme: a name in `functional.SCHEMES`.
        max_length: rows of a learned table, in tokens.

    Parameters:
        table [max_length, d_model], only if the scheme has one.
    """

    scheme: str
    max_length: int

    @nn.compact
    def __call__(
        self, embedded: Float[Array, "batch length d_model"], first: Int[Array, ""] | int = 0
    ) -> Float[Array, "batch length d_model"]:
        """Adds the encodings of the positions first, first + 1, ... to embedded tokens."""
        scheme = SCHEMES[self.scheme]
        _, length, d_model = embedded.shape
        table = None
        if scheme.has_table:
            init = nn.initializers.normal(1.0)
            table = self.param("table", init, (self.max_length, d_model))
        encoded = scheme.encode(first + jnp.arange(length), d_model, table)
        return embedded + encoded.astype(embedded.dtype)
