"""Token embeddings, the logits they are usually tied to, and positions."""

from typing import Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flax_transformer.functional.feed_forward import gelu
from flax_transformer.functional.projection import convolve, embed, token_logits
from flax_transformer.functional.quantization import EightBitArray
from flax_transformer.functional.schemes import SCHEMES, checked_scheme
from flax_transformer.modules.observe import observe

EmbeddingScaling = Literal["inputs", "logits", "none"]
# Standard deviation of the initial token and position tables of BERT, GPT-2 and ViT.
SMALL_DEVIATION = 0.02


class LogitFactors(NamedTuple):
    """The arguments of `functional.token_logits` and of `functional.linear_cross_entropy`."""

    hidden: Float[Array, "*batch d_model"]
    table: Float[Array, "vocab d_model"] | EightBitArray
    bias: Float[Array, " vocab"] | None = None
    cap: float | None = None


class TokenEmbedding(nn.Module):
    """One matrix for source tokens, target tokens and logits.

    inputs: E ~ N(0, 1 / d_model),  embed(token) = sqrt(d_model) E[token],  logits(x) = x E^T
    logits: E ~ N(0, 1),  embed(token) = E[token],  logits(x) = x E^T / sqrt(d_model)
    none:   E ~ N(0, 0.02^2),  embed(token) = E[token],  logits(x) = x E^T

    The first two begin as the same model. The steps of an optimizer such as Adam do not depend on
    the size of a gradient, so the smaller matrix of the first changes relatively faster.

    Attributes:
        vocab_size: number of tokens.
        d_model: width of the embeddings.
        scaling: "inputs" as in the paper, "logits", or "none" as in BERT and GPT-2.
        dtype: type of the computation; parameters are float32.
        tied_logits: whether logits use the embedding matrix; else they use a separate one.
        logits_bias: whether each token's logit has a bias.
        logits_soft_cap: bound c of the logits, c tanh(logits / c).

    Parameters:
        table [vocab_size, d_model]; logits_table, likewise, unless logits are tied; bias
        [vocab_size] if logits have a bias.

    Reference:
        Vaswani et al. 2017, section 3.4; Press and Wolf 2017.
    """

    vocab_size: int
    d_model: int
    scaling: EmbeddingScaling = "inputs"
    dtype: jax.typing.DTypeLike = "float32"
    tied_logits: bool = True
    logits_bias: bool = False
    logits_soft_cap: float | None = None

    def setup(self) -> None:
        """Creates the matrix."""
        deviations = {"inputs": self.d_model**-0.5, "logits": 1.0, "none": SMALL_DEVIATION}
        init = nn.initializers.normal(deviations[self.scaling])
        shape = (self.vocab_size, self.d_model)
        self.table = self.param("table", init, shape, jnp.float32)
        if not self.tied_logits:
            self.logits_table = self.param("logits_table", init, shape, jnp.float32)
        if self.logits_bias:
            zeros = nn.initializers.zeros
            self.bias = self.param("bias", zeros, shape[:1], jnp.float32)

    def __call__(self, tokens: Int[Array, "*batch"]) -> Float[Array, "*batch d_model"]:
        """Looks up tokens; embeddings initially have unit variance unless the scaling is none."""
        embedded = embed(tokens, self.table.astype(self.dtype))
        return embedded * self._scale() if self.scaling == "inputs" else embedded

    def logits(self, hidden: Float[Array, "*batch d_model"]) -> Float[Array, "*batch vocab"]:
        """Computes the logits of all tokens of the vocabulary, in float32."""
        return token_logits(*self.logit_factors(hidden))

    def logit_factors(self, hidden: Float[Array, "*batch d_model"]) -> LogitFactors:
        """Returns the factors of the logits, for a loss that never holds all logits."""
        # sqrt(d_model) divides the hidden vectors, which are smaller than the logits.
        scaled = hidden / self._scale() if self.scaling == "logits" else hidden
        table = self.table if self.tied_logits else self.logits_table
        bias = self.bias.astype(self.dtype) if self.logits_bias else None
        return LogitFactors(
            scaled.astype(self.dtype), table.astype(self.dtype), bias, self.logits_soft_cap
        )

    def _scale(self) -> Array:
        return jnp.asarray(self.d_model**0.5, self.dtype)


def table_deviation(scaling: EmbeddingScaling) -> float:
    """Returns the initial standard deviation of embeddings, for a position table added to them."""
    return SMALL_DEVIATION if scaling == "none" else 1.0


class PositionalEmbedding(nn.Module):
    """Adds the encodings of a positional scheme to embeddings; holds the table of a learned one.

    Observed, see `observe`: encoding, what is added.

    Attributes:
        positions: a name in `functional.SCHEMES`.
        max_length: rows of a learned table, in tokens.
        deviation: initial standard deviation of a learned table: that of the embeddings it is added
            to.
        offset: position of the first token of a sequence.

    Parameters:
        table [max_length, d_model], only if the scheme has one.
    """

    positions: str
    max_length: int
    deviation: float = 1.0
    offset: int = 0

    @nn.compact
    def __call__(
        self,
        embedded: Float[Array, "batch length d_model"],
        positions: Int[Array, "batch length"],
        lengths: Int[Array, "batch length"] | None = None,
        coordinates: Int[Array, "cells 2"] | None = None,
    ) -> Float[Array, "batch length d_model"]:
        """Adds the encoding of each position.

        Args:
            embedded: tokens.
            positions: position of each token in its sequence, from 0.
            lengths: number of tokens of each token's sequence; None while sequences still grow:
                then max_length is their length.
            coordinates: row and column of the last tokens, if they are on a grid; a scheme that
                encodes these adds nothing to the tokens before.
        """
        scheme = checked_scheme(self.positions, SCHEMES[self.positions])
        if scheme.encode is None:
            return embedded
        length, d_model = embedded.shape[1:]
        if coordinates is not None and scheme.encode_grid is not None:
            encoding = scheme.encode_grid(coordinates, d_model).astype(embedded.dtype)
            encoding = jnp.pad(encoding, ((length - coordinates.shape[0], 0), (0, 0)))[None]
            encoding = jnp.broadcast_to(encoding, embedded.shape)
            return embedded + observe(self, "encoding", encoding)
        table = None
        if scheme.has_table:
            init = nn.initializers.normal(self.deviation)
            table = self.param("table", init, (self.max_length, d_model), jnp.float32)
        if lengths is None:
            lengths = jnp.full_like(positions, self.max_length)
        encode = jax.vmap(scheme.encode, (0, 0, None, None))
        encoding = encode(positions + self.offset, lengths, d_model, table)
        return embedded + observe(self, "encoding", encoding.astype(embedded.dtype))


class TokenConvolution(nn.Module):
    """Mixes each token with its neighbors, see `functional.convolve`.

    gelu(convolve(x))

    Attributes:
        width: number of adjacent tokens that one output depends on.
        dtype: type of the computation; parameters are float32.

    Parameters:
        kernel [width, d_model, d_model] and bias [d_model].

    Reference:
        Kim 2014; Hassani et al. 2021, section 3.2.
    """

    width: int
    dtype: jax.typing.DTypeLike = "float32"

    @nn.compact
    def __call__(
        self,
        inputs: Float[Array, "batch length d_model"],
        segments: Int[Array, "batch length"] | None = None,
    ) -> Float[Array, "batch length d_model"]:
        """Mixes the tokens of each row.

        Args:
            inputs: one vector a token.
            segments: number of the text of each token, from 1; 0 for padding.
        """
        features = inputs.shape[-1]
        shape = (self.width, features, features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (features,), jnp.float32)
        inputs, kernel, bias = (array.astype(self.dtype) for array in (inputs, kernel, bias))
        return gelu(jax.vmap(convolve, (0, None, None, 0))(inputs, kernel, bias, segments))
