"""Multi-head attention with its projections."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from flax_transformer.functional.dropout import dropout_multiplier
from flax_transformer.functional.heads import (
    AttentionImplementation,
    multi_head_attend,
)
from flax_transformer.functional.layout import Positions
from flax_transformer.functional.normalization import rms_norm
from flax_transformer.functional.projection import project_as_dot_general
from flax_transformer.functional.schemes import SCHEMES, Head


class KeyValue(NamedTuple):
    """Projected keys and values of all heads."""

    key: Float[Array, "batch length key_value_heads key_dim"]
    value: Float[Array, "batch length key_value_heads value_dim"]


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
        num_key_value_heads: heads of keys and values, which groups of query heads share;
            num_heads if None, 1 is multi-query attention.
        use_bias: whether the four projections add a bias.
        use_output_bias: whether the last one does too; not where another's output is added.
        normalize_query_key: whether queries and keys of a head are normalised by their root mean
            square, which bounds the scores.
        scheme: name of a positional scheme in `functional.SCHEMES`; what it adds to embeddings is
            not done here.
        bidirectional: whether keys may stand behind their query, which some schemes count
            differently; what may be attended to is the mask's matter.
        implementation: see `functional.multi_head_attend`.
        dropout_rate: share of attention weights dropped in training.
        dtype: type of the computation; parameters are float32.

    Parameters:
        query, key [d_model, heads, key_dim], value [d_model, heads, value_dim], output
        [num_heads, value_dim, d_model], their biases if asked for; query_scale and key_scale
        [key_dim] of the normalisation; scheme_table [num_heads, ...] of a scheme that learns one.

    Reference:
        Vaswani et al. 2017, section 3.2.2; Henry et al. 2020 (normalised queries and keys).
    """

    num_heads: int
    d_model: int
    key_dim: int | None = None
    value_dim: int | None = None
    num_key_value_heads: int | None = None
    use_bias: bool = False
    use_output_bias: bool = True
    normalize_query_key: bool = False
    scheme: str = "none"
    bidirectional: bool = True
    implementation: AttentionImplementation = "auto"
    dropout_rate: float = 0.0
    dtype: jax.typing.DTypeLike = "float32"

    def setup(self) -> None:
        """Creates the four projections, and what norms and scheme learn."""
        if self.d_model % self.num_heads and None in (self.key_dim, self.value_dim):
            raise ValueError(f"d_model {self.d_model} is no multiple of {self.num_heads} heads")
        key_value_heads = self.num_key_value_heads or self.num_heads
        if self.num_heads % key_value_heads:
            raise ValueError(f"{self.num_heads} heads are no multiple of {key_value_heads}")
        per_head = self.d_model // self.num_heads
        key_dim, value_dim = self.key_dim or per_head, self.value_dim or per_head
        self.query = self._projection((self.num_heads, key_dim), self.use_bias)
        self.key = self._projection((key_value_heads, key_dim), self.use_bias)
        self.value = self._projection((key_value_heads, value_dim), self.use_bias)
        has_output_bias = self.use_bias and self.use_output_bias
        self.output = self._projection(self.d_model, has_output_bias, axis=(-2, -1))
        if self.normalize_query_key:
            ones = nn.initializers.ones
            self.query_scale = self.param("query_scale", ones, (key_dim,), jnp.float32)
            self.key_scale = self.param("key_scale", ones, (key_dim,), jnp.float32)
        table_shape = SCHEMES[self.scheme].head_table_shape
        if table_shape is not None:
            shape = (self.num_heads, *table_shape(key_dim))
            init = nn.initializers.normal(self.d_model**-0.5)
            self.scheme_table = self.param("scheme_table", init, shape, jnp.float32)

    def _projection(
        self, features: int | tuple[int, int], use_bias: bool, axis: Any = -1
    ) -> nn.DenseGeneral:
        return nn.DenseGeneral(
            features,
            axis=axis,
            use_bias=use_bias,
            dtype=self.dtype,
            kernel_init=nn.initializers.xavier_uniform(),
            dot_general=project_as_dot_general,
        )

    def keys_values(
        self,
        inputs: Float[Array, "batch length d_model"],
        positions: Int[Array, "batch length"] | None = None,
    ) -> KeyValue:
        """Projects inputs to the keys and values of all heads.

        Args:
            inputs: what can be attended to.
            positions: where the inputs stand, in tokens from 0; a scheme needs them.
        """
        key = self.key(inputs)
        if self.normalize_query_key:
            key = rms_norm(key, self.key_scale)
        return KeyValue(self._rotate(key, positions), self.value(inputs))

    def __call__(
        self,
        inputs: Float[Array, "rows query_length d_model"],
        keys_values: KeyValue,
        *,
        mask: Bool[Array, "#batch #queries #key_length"] | None = None,
        positions: Positions | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "rows query_length d_model"]:
        """Attends from the inputs to keys and values.

        Args:
            inputs: one row an example, or several adjacent rows (members of a beam) an example;
                these share their example's keys and values without a copy.
            keys_values: from `keys_values`, or from a cache.
            mask: True where a query may attend to a key; the queries of an example's rows stand
                one after the other.
            positions: where queries and keys stand, for each row; a scheme needs them. Keys that
                several rows share stand in the order of `functional.Written`.
            deterministic: no dropout.

        Returns:
            One vector of width d_model for each query.
        """
        rows, query_length, _ = inputs.shape
        key, value = keys_values
        query = self.query(inputs)
        if self.normalize_query_key:
            query = rms_norm(query, self.query_scale)
        query = self._rotate(query, positions and positions.query)
        bias = self._bias(query, positions)
        batch, key_length = key.shape[:2]
        if bias is not None and rows != batch:
            bias = _bias_of_all(bias, rows // batch)
        # The rows of one example become further queries of that example.
        query = query.reshape(batch, -1, self.num_heads, key.shape[-1])
        dropout = None
        if self.dropout_rate and not deterministic:
            shape = (batch, self.num_heads, query.shape[1], key_length)
            dropout = dropout_multiplier(self.make_rng("dropout"), self.dropout_rate, shape)
        # At initialisation every collection is mutable, but variables shall hold parameters only.
        return_weights = self.is_mutable_collection("attention") and not self.is_initializing()
        attended: Any = multi_head_attend(
            query,
            key,
            value,
            mask=mask,
            bias=bias,
            dropout=dropout,
            return_weights=return_weights,
            implementation=self.implementation,
        )
        if return_weights:
            attended, weights = attended
            self.sow("attention", "weights", weights)
        return self.output(attended.reshape(rows, query_length, *attended.shape[2:]))

    def _rotate(self, heads: Array, positions: Array | None) -> Array:
        """Turns the queries or keys [batch, length, heads, key_dim] of all heads."""
        rotate = SCHEMES[self.scheme].rotate
        if rotate is None:
            return heads
        over_heads = jax.vmap(rotate, (1, None), 1)
        return jax.vmap(over_heads)(heads, self._given(positions))

    def _bias(self, query: Array, positions: Positions | None) -> Array | None:
        """What the scheme adds to the scores [batch, heads, query_length, key_length]."""
        bias = SCHEMES[self.scheme].bias
        if bias is None:
            return None

        def one_head(query, index, table, query_positions, key_positions):
            head = Head(index, self.num_heads, self.bidirectional)
            return bias(query, query_positions, key_positions, head, table)

        has_table = SCHEMES[self.scheme].head_table_shape is not None
        table = self.scheme_table if has_table else None
        over_heads = jax.vmap(one_head, (1, 0, 0, None, None))
        over_batch = jax.vmap(over_heads, (0, None, None, 0, 0))
        return over_batch(query, jnp.arange(self.num_heads), table, *self._given(positions))

    def _given(self, positions: Any) -> Any:
        if positions is None:
            raise ValueError(f"the positional scheme {self.scheme!r} needs positions")
        return positions


def _bias_of_all(bias: Array, members: int) -> Array:
    """A row's biases of its hypothesis' positions, for every member that may have written there.

    [batch * members, heads, length, capacity] -> [batch, heads, members * length, capacity *
    members].
    """
    rows, heads, length, capacity = bias.shape
    bias = bias.reshape(rows // members, members, heads, length, capacity).swapaxes(1, 2)
    return jnp.repeat(
        bias.reshape(rows // members, heads, members * length, capacity), members, axis=-1
    )
