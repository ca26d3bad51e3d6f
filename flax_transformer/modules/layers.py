"""Encoder and decoder layers: attention and feed-forward in residual connections."""

from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax
from jaxtyping import Array, Bool, Float, Int

from flax_transformer.functional.cache import append
from flax_transformer.modules.attention import KeyValue, MultiHeadAttention
from flax_transformer.modules.dropout import Dropout
from flax_transformer.modules.feed_forward import FeedForward

NormPlacement = Literal["post", "pre"]


class Residual(nn.Module):
    """A residual connection around a sublayer, with dropout and layer normalisation.

    post: norm(x + dropout(f(x)));  pre: x + dropout(f(norm(x)))

    Attributes:
        norm_placement: "post" as in the paper, or "pre".
        dropout_rate: share of the sublayer's outputs dropped in training.
        dtype: type of the computation; parameters are float32.

    Parameters:
        norm/scale and norm/bias [d_model].

    Reference:
        Vaswani et al. 2017, sections 3.1 and 5.4 (post); Xiong et al. 2020 (pre).
    """

    norm_placement: NormPlacement
    dropout_rate: float
    dtype: jax.typing.DTypeLike = "float32"

    def setup(self) -> None:
        """Creates the normalisation."""
        self.norm = nn.LayerNorm(dtype=self.dtype)
        self.dropout = Dropout(self.dropout_rate)

    def __call__(
        self,
        sublayer: Callable[[Array], Array],
        inputs: Float[Array, "batch length d_model"],
        deterministic: bool,
    ) -> Float[Array, "batch length d_model"]:
        """Applies the sublayer to the inputs within the connection."""
        if self.norm_placement == "pre":
            return inputs + self.dropout(sublayer(self.norm(inputs)), deterministic)
        return self.norm(inputs + self.dropout(sublayer(inputs), deterministic))


class Layer(nn.Module):
    """What encoder and decoder layers have in common.

    Attributes:
        num_heads: attention heads.
        d_model: width between the sublayers.
        d_ff: width of the feed-forward network's hidden layer.
        key_dim: width of a head's query and key; d_model / num_heads if None.
        value_dim: width of a head's value; d_model / num_heads if None.
        norm_placement: "post" or "pre", see `Residual`.
        residual_dropout_rate: dropout of each sublayer's output.
        attention_dropout_rate: dropout of the attention weights.
        feed_forward_dropout_rate: dropout of the hidden layer.
        dtype: type of the computation; parameters are float32.
    """

    num_heads: int
    d_model: int
    d_ff: int
    key_dim: int | None = None
    value_dim: int | None = None
    norm_placement: NormPlacement = "post"
    residual_dropout_rate: float = 0.0
    attention_dropout_rate: float = 0.0
    feed_forward_dropout_rate: float = 0.0
    dtype: jax.typing.DTypeLike = "float32"

    def _attention(self) -> MultiHeadAttention:
        return MultiHeadAttention(
            num_heads=self.num_heads,
            d_model=self.d_model,
            key_dim=self.key_dim,
            value_dim=self.value_dim,
            dropout_rate=self.attention_dropout_rate,
            dtype=self.dtype,
        )

    def _feed_forward(self) -> FeedForward:
        return FeedForward(self.d_model, self.d_ff, self.feed_forward_dropout_rate, self.dtype)

    def _residual(self) -> Residual:
        return Residual(self.norm_placement, self.residual_dropout_rate, self.dtype)


class EncoderLayer(Layer):
    """Self-attention and a feed-forward network.

    Reference:
        Vaswani et al. 2017, section 3.1.
    """

    def setup(self) -> None:
        """Creates the sublayers and their connections."""
        self.attention = self._attention()
        self.feed_forward = self._feed_forward()
        self.attention_residual = self._residual()
        self.feed_forward_residual = self._residual()

    def __call__(
        self,
        inputs: Float[Array, "batch length d_model"],
        mask: Bool[Array, "#batch #length #length"] | None,
        *,
        deterministic: bool = True,
    ) -> Float[Array, "batch length d_model"]:
        """Lets the positions of a sequence attend to each other."""

        def attend(x: Array) -> Array:
            keys_values = self.attention.keys_values(x)
            return self.attention(x, keys_values, mask=mask, deterministic=deterministic)

        def transform(x: Array) -> Array:
            return self.feed_forward(x, deterministic=deterministic)

        attended = self.attention_residual(attend, inputs, deterministic)
        return self.feed_forward_residual(transform, attended, deterministic)


class DecoderLayer(Layer):
    """Causal self-attention, attention to the encoder's output and a feed-forward network.

    Reference:
        Vaswani et al. 2017, section 3.1.
    """

    def setup(self) -> None:
        """Creates the sublayers and their connections."""
        self.self_attention = self._attention()
        self.cross_attention = self._attention()
        self.feed_forward = self._feed_forward()
        self.self_attention_residual = self._residual()
        self.cross_attention_residual = self._residual()
        self.feed_forward_residual = self._residual()

    def memory_keys_values(self, memory: Float[Array, "batch length d_model"]) -> KeyValue:
        """Projects the encoder's output to what cross-attention attends to."""
        return self.cross_attention.keys_values(memory)

    def __call__(
        self,
        inputs: Float[Array, "rows length d_model"],
        self_mask: Bool[Array, "#rows #length #key_length"] | None,
        memory: KeyValue,
        memory_mask: Bool[Array, "#batch #length #source_length"] | None,
        *,
        history: KeyValue | None = None,
        history_length: Int[Array, ""] | None = None,
        deterministic: bool = True,
    ) -> tuple[Float[Array, "rows length d_model"], KeyValue]:
        """Extends a sequence in view of a source.

        Args:
            inputs: the positions to compute.
            self_mask: True where a position may attend to an earlier one.
            memory: from `memory_keys_values`.
            memory_mask: True where a position may attend to the source.
            history: keys and values of the positions before the inputs, with room for these.
            history_length: how many positions of the history are filled.
            deterministic: no dropout.

        Returns:
            The outputs, and the keys and values of all positions so far.
        """
        keys_values: KeyValue | None = None

        def attend_to_self(x: Array) -> Array:
            nonlocal keys_values
            keys_values = self.self_attention.keys_values(x)
            if history is not None:
                assert history_length is not None
                keys_values = KeyValue(
                    append(history.key, keys_values.key, history_length),
                    append(history.value, keys_values.value, history_length),
                )
            return self.self_attention(x, keys_values, mask=self_mask, deterministic=deterministic)

        def attend_to_memory(x: Array) -> Array:
            return self.cross_attention(x, memory, mask=memory_mask, deterministic=deterministic)

        def transform(x: Array) -> Array:
            return self.feed_forward(x, deterministic=deterministic)

        x = self.self_attention_residual(attend_to_self, inputs, deterministic)
        x = self.cross_attention_residual(attend_to_memory, x, deterministic)
        x = self.feed_forward_residual(transform, x, deterministic)
        assert keys_values is not None
        return x, keys_values
