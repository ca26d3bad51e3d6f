"""Multi-head attention with its projections."""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from flax_transformer.functional.attention import (
    attention_scores,
    attention_weights,
    weighted_values,
)
from flax_transformer.functional.heads import multi_head_attend, over_heads
from flax_transformer.functional.layout import Positions
from flax_transformer.functional.normalization import rms_norm
from flax_transformer.functional.projection import project_as_dot_general
from flax_transformer.functional.schemes import (
    Head,
    PositionalScheme,
    checked_scheme,
    positional_scheme,
)
from flax_transformer.modules.layer_options import LayerOptions
from flax_transformer.modules.norms import dropout_factors
from flax_transformer.modules.observe import is_observed, observe, recompute_attention


class KeyValue(NamedTuple):
    """Projected keys and values of all heads."""

    key: Float[Array, "batch length key_value_heads key_dim"]
    value: Float[Array, "batch length key_value_heads value_dim"]


class MultiHeadAttention(nn.Module):
    """Attention of several heads between projections.

    concat(head_1, ..., head_h) W_O,  head_i = attend(X W_Q_i, Y W_K_i, Y W_V_i)

    Keys and values are a separate argument, so that self-attention, cross-attention and cached
    decoding are one call: pass `keys_values(x)` of the inputs themselves, of an encoder's output,
    or of a cache. The call runs `queries`, `score_bias`, `attend` and `merge`.

    Observed, see `observe`: queries, keys, values, scores (before the mask), weights and heads.

    Attributes:
        options: sizes, biases, the positional scheme, and the implementation. Schemes that add to
            embeddings are not applied here; a window must be part of the mask.
        bidirectional: whether keys may come after their query; some schemes depend on it.

    Parameters:
        query, key [d_model, heads, key_dim], value [d_model, heads, value_dim], output
        [num_heads, value_dim, d_model], their biases if asked for; query_scale and key_scale
        [key_dim] of the normalization; scheme_table [num_heads, ...] of a scheme that learns one,
        unless layers share it.

    Reference:
        Vaswani et al. 2017, section 3.2.2; Henry et al. 2020 (normalized queries and keys).
    """

    options: LayerOptions
    bidirectional: bool = True

    def setup(self) -> None:
        """Creates the four projections, and the parameters of norms and scheme."""
        options = self.options
        heads, (key_dim, value_dim) = options.num_heads, options.head_dims()
        groups, bias = options.num_key_value_heads or heads, options.attention_bias
        self.query = self._projection((heads, key_dim), bias)
        self.key = self._projection((groups, key_dim), bias)
        self.value = self._projection((groups, value_dim), bias)
        has_output_bias = bias and options.attention_output_bias
        self.output = self._projection(options.d_model, has_output_bias, axis=(-2, -1))
        if options.normalize_query_key:
            ones = nn.initializers.ones
            self.query_scale = self.param("query_scale", ones, (key_dim,), jnp.float32)
            self.key_scale = self.param("key_scale", ones, (key_dim,), jnp.float32)
        shape = position_table_shape(options)
        if shape is not None and not options.share_position_table:
            init = nn.initializers.normal(options.d_model**-0.5)
            self.scheme_table = self.param("scheme_table", init, shape, jnp.float32)

    def _projection(
        self, features: int | tuple[int, int], use_bias: bool, axis: Any = -1
    ) -> nn.DenseGeneral:
        return nn.DenseGeneral(
            features,
            axis=axis,
            use_bias=use_bias,
            dtype=self.options.dtype,
            kernel_init=nn.initializers.xavier_uniform(),
            dot_general=project_as_dot_general,
            promote_dtype=_to_type,
        )

    def __call__(
        self,
        inputs: Float[Array, "batch query_length d_model"],
        keys_values: KeyValue,
        *,
        mask: Bool[Array, "#batch #query_length #key_length"] | None = None,
        positions: Positions | None = None,
        position_table: Float[Array, "num_heads ..."] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch query_length d_model"]:
        """Attends from the inputs to keys and values.

        Args:
            inputs: vectors that attend.
            keys_values: from `keys_values`, or from a cache.
            mask: True where a query may attend to a key.
            positions: of queries and keys, for each row; schemes inside attention need them.
            position_table: see `score_bias`.
            deterministic: no dropout.

        Returns:
            One vector of width d_model for each query.
        """
        query = self.queries(inputs, positions and positions.query)
        bias = self.score_bias(query, positions, position_table)
        return self.merge(
            self.attend(query, keys_values, mask=mask, bias=bias, deterministic=deterministic)
        )

    def queries(
        self,
        inputs: Float[Array, "batch length d_model"],
        positions: Int[Array, "batch length"] | None = None,
    ) -> Float[Array, "batch length heads key_dim"]:
        """Projects inputs to the queries of all heads.

        Args:
            inputs: vectors that attend.
            positions: of the inputs, in tokens from 0; schemes inside attention need them.
        """
        query = self.query(inputs)
        if self.options.normalize_query_key:
            query = rms_norm(query, self.query_scale, epsilon=self.options.query_key_norm_epsilon)
        return observe(self, "queries", self._rotate(query, positions))

    def keys_values(
        self,
        inputs: Float[Array, "batch length d_model"],
        positions: Int[Array, "batch length"] | None = None,
    ) -> KeyValue:
        """Projects inputs to the keys and values of all heads.

        Args:
            inputs: vectors that can be attended to.
            positions: of the inputs, in tokens from 0; schemes inside attention need them.
        """
        key = self.key(inputs)
        if self.options.normalize_query_key:
            key = rms_norm(key, self.key_scale, epsilon=self.options.query_key_norm_epsilon)
        key = observe(self, "keys", self._rotate(key, positions))
        return KeyValue(key, observe(self, "values", self.value(inputs)))

    def score_bias(
        self,
        query: Float[Array, "batch query_length heads key_dim"],
        positions: Positions | None,
        position_table: Float[Array, "num_heads ..."] | None = None,
    ) -> Float[Array, "batch heads query_length key_length"] | None:
        """Computes the bias that the positional scheme adds to the scores; None if it adds none.

        Args:
            query: from `queries`.
            positions: of queries and keys.
            position_table: from `PositionTable`, if layers share one.
        """
        bias, options = scheme_of(self.options).bias, self.options
        if bias is None:
            return None

        def one_head(query, index, table, query_positions, key_positions):
            head = Head(index, options.num_heads, self.bidirectional)
            return bias(query, query_positions, key_positions, head, table)

        table = position_table
        if table is None and scheme_of(self.options).head_table_shape is not None:
            table = self.scheme_table
        over_heads = jax.vmap(one_head, (1, 0, 0, None, None))
        over_batch = jax.vmap(over_heads, (0, None, None, 0, 0))
        return over_batch(query, jnp.arange(options.num_heads), table, *self._given(positions))

    def attend(
        self,
        query: Float[Array, "batch query_length heads key_dim"],
        keys_values: KeyValue,
        *,
        mask: Bool[Array, "#batch #query_length #key_length"] | None = None,
        bias: Float[Array, "batch heads query_length key_length"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch query_length heads value_dim"]:
        """Computes the outputs of all heads, see `functional.multi_head_attend`."""

        def heads(self: Any, query: Array, *arrays: Any) -> Array:
            return self._attend(query, *arrays, deterministic)

        recomputed = recompute_attention(heads, self.options.remat)
        return observe(self, "heads", recomputed(self, query, keys_values, mask, bias))

    def _attend(
        self, query: Array, keys_values: KeyValue, mask: Any, bias: Any, deterministic: bool
    ) -> Array:
        (batch, query_length, heads, _), options = query.shape, self.options
        shape = (batch, heads, query_length, keys_values.key.shape[1])
        dropout = dropout_factors(self, options.attention_dropout_rate, shape, deterministic)
        formula = {"scale": options.attention_scale, "cap": options.attention_soft_cap}
        if is_observed(self, "scores", "weights"):
            return self._attend_observed(query, *keys_values, mask, bias, dropout, **formula)
        return multi_head_attend(
            query,
            *keys_values,
            mask=mask,
            bias=bias,
            dropout=dropout,
            implementation=options.attention_implementation,
            **formula,
        )

    def _attend_observed(self, query, key, value, mask, bias, dropout, **formula: Any) -> Array:
        """Computes the formula step by step, because other implementations hold no weights."""
        score = functools.partial(attention_scores, **formula)
        scores = over_heads(score, 0)(query=query, key=key, bias=bias)
        scores = observe(self, "scores", scores)
        weights = over_heads(attention_weights, 0)(scores=scores, mask=mask)
        weights = observe(self, "weights", weights)
        return over_heads(weighted_values, 1)(weights=weights, value=value, dropout=dropout)

    def merge(
        self, heads: Float[Array, "batch length heads value_dim"]
    ) -> Float[Array, "batch length d_model"]:
        """Projects the outputs of all heads to one vector."""
        return self.output(heads)

    def _rotate(self, heads: Array, positions: Array | None) -> Array:
        """Turns the queries or keys [batch, length, heads, key_dim] of all heads."""
        rotate = scheme_of(self.options).rotate
        if rotate is None:
            return heads
        over_heads = jax.vmap(rotate, (1, None), 1)
        return jax.vmap(over_heads)(heads, self._given(positions))

    def _given(self, positions: Any) -> Any:
        if positions is None:
            scheme = self.options.positions
            raise ValueError(f"the positional scheme {scheme!r} needs positions")
        return positions


class PositionTable(nn.Module):
    """The table of a positional scheme that the layers of an encoder or a decoder share.

    Attributes:
        options: of the layers.

    Parameters:
        table [num_heads, ...].

    Reference:
        Raffel et al. 2020, section 2.1.
    """

    options: LayerOptions

    @nn.compact
    def __call__(self) -> Float[Array, "num_heads ..."]:
        """Returns the table."""
        init = nn.initializers.normal(self.options.d_model**-0.5)
        return self.param("table", init, position_table_shape(self.options), jnp.float32)


def _to_type(*arrays: Any, dtype: Any = None, inexact: bool = True) -> list[Any]:
    """Converts arrays; Flax's function takes no `EightBitArray`."""
    return [None if array is None else array.astype(dtype) for array in arrays]


def scheme_of(options: LayerOptions) -> PositionalScheme:
    """Returns the positional scheme of one layer, with the parameters set in the options."""
    assert isinstance(options.positions, str)
    return checked_scheme(options.positions, positional_scheme(options.positions, options))


def position_table_shape(options: LayerOptions) -> tuple[int, ...] | None:
    """Returns the shape of the table that a layer's scheme learns inside attention, if any."""
    of_head = scheme_of(options).head_table_shape
    return of_head and (options.num_heads, *of_head(options.head_dims()[0]))
