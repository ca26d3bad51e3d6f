"""Multi-head attention with its projections."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
from jaxtyping import Array, Bool, Float

from flax_transformer.functional.attention import multi_head_attend
from flax_transformer.functional.dropout import dropout_multiplier


class KeyValue(NamedTuple):
    """Projected keys and values of all heads."""

    key: Float[Array, "batch length heads key_dim"]
    value: Float[Array, "batch length heads value_dim"]


class MultiHeadAttention(nn.Module):
    """Attention of several heads between projections.

    concat(head_1, ..., head_h) W_O,  head_i = attend(X W_Q_i, Y W_K_i, Y W_V_i)

    Keys and values are an argument of their own, so that self-attention, cross-attention and
    cached decoding are one call: pass `keys_values(x)` of the inputs themselves, of an encoder's
    output, or of a cache.

    When the collection "attention" is mutable in `apply`, the weights [batch, heads, query_length,
    key_length] are stored there under "weights".

    Attributes:
        num_heads: number of heads.
        key_dim: width of a head's query and key; d_model / num_heads if None.
        value_dim: width of a head's value; d_model / num_heads if None.
        dropout_rate: share of attention weights dropped in training.
        dtype: type of the computation; parameters are float32.

    Parameters:
        query, key [d_model, num_heads, key_dim], value [d_model, num_heads, value_dim],
        output [num_heads, value_dim, d_model]; no biases.

    Reference:
        Vaswani et al. 2017, section 3.2.2.
    """

    num_heads: int
    d_model: int
    key_dim: int | None = None
    value_dim: int | None = None
    dropout_rate: float = 0.0
    dtype: jax.typing.DTypeLike = "float32"

    def setup(self) -> None:
        """Creates the four projections."""
        if self.d_model % self.num_heads and None in (self.key_dim, self.value_dim):
            raise ValueError(f"d_model {self.d_model} is no multiple of {self.num_heads} heads")
        per_head = self.d_model // self.num_heads
        self.query = self._projection(self.key_dim or per_head)
        self.key = self._projection(self.key_dim or per_head)
        self.value = self._projection(self.value_dim or per_head)
        self.output = nn.DenseGeneral(
            self.d_model,
            axis=(-2, -1),
            use_bias=False,
            dtype=self.dtype,
            kernel_init=nn.initializers.xavier_uniform(),
        )

    def _projection(self, head_dim: int) -> nn.DenseGeneral:
        return nn.DenseGeneral(
            (self.num_heads, head_dim),
            use_bias=False,
            dtype=self.dtype,
            kernel_init=nn.initializers.xavier_uniform(),
        )

    def keys_values(self, inputs: Float[Array, "batch length d_model"]) -> KeyValue:
        """Projects inputs to the keys and values of all heads."""
        return KeyValue(self.key(inputs), self.value(inputs))

    def __call__(
        self,
        inputs: Float[Array, "rows query_length d_model"],
        keys_values: KeyValue,
        *,
        mask: Bool[Array, "#batch #query_length #key_length"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "rows query_length d_model"]:
        """Attends from the inputs to keys and values.

        Args:
            inputs: one row an example, or several adjacent rows (hypotheses of a beam) an
                example; these share their example's keys and values without a copy.
            keys_values: from `keys_values`.
            mask: True where a query may attend to a key; with several rows an example its query
                axis must have size 1.
            deterministic: no dropout.

        Returns:
            One vector of width d_model for each query.
        """
        rows, query_length, _ = inputs.shape
        key, value = keys_values
        # The rows of one example become further queries of that example.
        query = self.query(inputs).reshape(key.shape[0], -1, self.num_heads, key.shape[-1])
        dropout = None
        if self.dropout_rate and not deterministic:
            shape = (key.shape[0], self.num_heads, query.shape[1], key.shape[1])
            dropout = dropout_multiplier(self.make_rng("dropout"), self.dropout_rate, shape)
        # At initialisation every collection is mutable, but variables shall hold parameters only.
        return_weights = self.is_mutable_collection("attention") and not self.is_initializing()
        attended: Any = multi_head_attend(
            query, key, value, mask=mask, dropout=dropout, return_weights=return_weights
        )
        if return_weights:
            attended, weights = attended
            self.sow("attention", "weights", weights)
        return self.output(attended.reshape(rows, query_length, *attended.shape[2:]))
