"""Encoder and decoder layers: attention and feed-forward in residual connections."""

from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
from jaxtyping import Array, Bool, Float, Int

from flax_transformer.functional.cache import Written, append, lay_down, read_all, read_own
from flax_transformer.functional.heads import AttentionImplementation
from flax_transformer.functional.layout import Layout
from flax_transformer.modules.dropout_module import Dropout
from flax_transformer.modules.feed_forward_network import FeedForward
from flax_transformer.modules.multi_head_attention import KeyValue, MultiHeadAttention
from flax_transformer.modules.norms import NORMS

NormPlacement = Literal["post", "pre"]


class Residual(nn.Module):
    """A residual connection around a sublayer, with dropout and normalisation.

    post: norm(x + dropout(f(x)));  pre: x + dropout(f(norm(x)))

    Attributes:
        norm: name of the normalisation in `modules.NORMS`.
        norm_placement: "post" as in the paper, or "pre".
        norm_epsilon: what the normalisation adds to a variance against division by zero.
        dropout_rate: share of the sublayer's outputs dropped in training.
        dtype: type of the computation; parameters are float32.

    Parameters:
        normalize/scale [d_model], and normalize/bias [d_model] if the normalisation has one.

    Reference:
        Vaswani et al. 2017, sections 3.1 and 5.4 (post); Xiong et al. 2020 (pre).
    """

    norm: str = "layer"
    norm_placement: NormPlacement = "post"
    norm_epsilon: float = 1e-6
    dropout_rate: float = 0.0
    dtype: jax.typing.DTypeLike = "float32"

    def setup(self) -> None:
        """Creates the normalisation."""
        self.normalize = NORMS[self.norm](self.norm_epsilon, self.dtype)
        self.dropout = Dropout(self.dropout_rate)

    def __call__(
        self,
        sublayer: Callable[[Array], Array],
        inputs: Float[Array, "batch length d_model"],
        is_token: Bool[Array, "batch length"] | None,
        deterministic: bool,
    ) -> Float[Array, "batch length d_model"]:
        """Applies the sublayer to the inputs within the connection.

        Args:
            sublayer: maps vectors to vectors of the same width.
            inputs: one vector a position.
            is_token: False at padding, which batch normalisation leaves out.
            deterministic: no dropout, and running statistics in batch normalisation.
        """
        if self.norm_placement == "pre":
            normalized = self.normalize(inputs, is_token, deterministic)
            return inputs + self.dropout(sublayer(normalized), deterministic)
        added = inputs + self.dropout(sublayer(inputs), deterministic)
        return self.normalize(added, is_token, deterministic)


def attend_to_self(
    attention: MultiHeadAttention,
    inputs: Float[Array, "batch length d_model"],
    layout: Layout,
    deterministic: bool,
) -> Float[Array, "batch length d_model"]:
    """Lets the positions of whole sequences attend to each other.

    Args:
        attention: its parameters.
        inputs: one vector a position.
        layout: of the inputs.
        deterministic: no dropout.
    """
    mask, positions = layout.mask, layout.positions
    keys_values = attention.keys_values(inputs, positions and positions.key)
    return attention(
        inputs, keys_values, mask=mask, positions=positions, deterministic=deterministic
    )


class Layer(nn.Module):
    """What encoder and decoder layers have in common.

    Attributes:
        num_heads: attention heads.
        d_model: width between the sublayers.
        d_ff: width of the feed-forward network's hidden layer.
        key_dim: width of a head's query and key; d_model / num_heads if None.
        value_dim: width of a head's value; d_model / num_heads if None.
        num_key_value_heads: heads of keys and values, see `MultiHeadAttention`.
        attention_bias: whether the projections of attention add a bias.
        normalize_query_key: whether queries and keys are normalised.
        attention_implementation: see `functional.multi_head_attend`.
        scheme: name of the positional scheme, for what it does in self-attention.
        activation: name of the feed-forward network's function in `functional.ACTIVATIONS`.
        norm: name of the normalisation in `modules.NORMS`.
        norm_placement: "post" or "pre", see `Residual`.
        norm_epsilon: see `Residual`.
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
    num_key_value_heads: int | None = None
    attention_bias: bool = False
    normalize_query_key: bool = False
    attention_implementation: AttentionImplementation = "auto"
    scheme: str = "none"
    activation: str = "relu"
    norm: str = "layer"
    norm_placement: NormPlacement = "post"
    norm_epsilon: float = 1e-6
    residual_dropout_rate: float = 0.0
    attention_dropout_rate: float = 0.0
    feed_forward_dropout_rate: float = 0.0
    dtype: jax.typing.DTypeLike = "float32"

    def _attention(self, scheme: str, bidirectional: bool, **others: Any) -> MultiHeadAttention:
        fields = {
            "num_heads": self.num_heads,
            "d_model": self.d_model,
            "key_dim": self.key_dim,
            "value_dim": self.value_dim,
            "num_key_value_heads": self.num_key_value_heads,
            "use_bias": self.attention_bias,
            "normalize_query_key": self.normalize_query_key,
            "scheme": scheme,
            "bidirectional": bidirectional,
            "implementation": self.attention_implementation,
            "dropout_rate": self.attention_dropout_rate,
            "dtype": self.dtype,
        }
        return MultiHeadAttention(**fields | others)

    def _feed_forward(self) -> FeedForward:
        return FeedForward(
            self.d_model, self.d_ff, self.activation, self.feed_forward_dropout_rate, self.dtype
        )

    def _residual(self) -> Residual:
        return Residual(
            self.norm,
            self.norm_placement,
            self.norm_epsilon,
            self.residual_dropout_rate,
            self.dtype,
        )


class EncoderLayer(Layer):
    """Self-attention and a feed-forward network.

    Reference:
        Vaswani et al. 2017, section 3.1.
    """

    def setup(self) -> None:
        """Creates the sublayers and their connections."""
        self.attention = self._attention(self.scheme, bidirectional=True)
        self.feed_forward = self._feed_forward()
        self.attention_residual = self._residual()
        self.feed_forward_residual = self._residual()

    def __call__(
        self,
        inputs: Float[Array, "batch length d_model"],
        layout: Layout,
        *,
        deterministic: bool = True,
    ) -> Float[Array, "batch length d_model"]:
        """Lets the positions of a sequence attend to each other."""
        is_token = layout.is_token

        def attend(x: Array) -> Array:
            return attend_to_self(self.attention, x, layout, deterministic)

        def transform(x: Array) -> Array:
            return self.feed_forward(x, deterministic=deterministic)

        attended = self.attention_residual(attend, inputs, is_token, deterministic)
        return self.feed_forward_residual(transform, attended, is_token, deterministic)


class DecoderLayer(Layer):
    """Causal self-attention, attention to the encoder's output if there is one, and feed-forward.

    Without an encoder's output the layer has no parameters for it.

    Reference:
        Vaswani et al. 2017, section 3.1; Radford et al. 2019, section 2.3 (without an encoder).
    """

    def setup(self) -> None:
        """Creates the sublayers and their connections."""
        self.self_attention = self._attention(self.scheme, bidirectional=False)
        # Positions of two sequences are no distances.
        self.cross_attention = self._attention("none", bidirectional=True)
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
        layout: Layout,
        memory: KeyValue | None = None,
        memory_mask: Bool[Array, "#batch #length #source_length"] | None = None,
        *,
        written: Written | None = None,
        written_length: Int[Array, ""] | None = None,
        deterministic: bool = True,
    ) -> tuple[Float[Array, "rows length d_model"], Written | None]:
        """Extends a sequence, in view of a source if there is one.

        Args:
            inputs: the positions to compute.
            layout: of the inputs as queries, and of them with the positions before them as keys;
                its mask has a row for each hypothesis, or one for each example, from
                `functional.lineage_mask`.
            memory: from `memory_keys_values`; None: no source.
            memory_mask: True where a position may attend to the source.
            written: keys and values of the positions before the inputs, with room for these.
            written_length: how many positions are filled.
            deterministic: no dropout.

        Returns:
            The outputs, and what is written with the inputs' keys and values, if anything was.
        """
        mask, positions, _, is_token = layout

        def attend_to_past(x: Array) -> Array:
            nonlocal written
            keys_values = self.self_attention.keys_values(x, positions and positions.query)
            if written is not None:
                assert written_length is not None
                assert mask is not None
                members = x.shape[0] // written.value.shape[0]
                new = lay_down(*keys_values, members=members)
                written = append(written, new, written_length * members)
                # Rows of the mask are those of all that is written, if they are not the inputs'.
                is_own = mask.shape[0] == x.shape[0]
                read = read_own(written, members) if is_own else read_all(written)
                keys_values = KeyValue(*read)
            return self.self_attention(
                x, keys_values, mask=mask, positions=positions, deterministic=deterministic
            )

        def attend_to_memory(x: Array) -> Array:
            assert memory is not None
            return self.cross_attention(x, memory, mask=memory_mask, deterministic=deterministic)

        def transform(x: Array) -> Array:
            return self.feed_forward(x, deterministic=deterministic)

        x = self.self_attention_residual(attend_to_past, inputs, is_token, deterministic)
        if memory is not None:
            x = self.cross_attention_residual(attend_to_memory, x, is_token, deterministic)
        x = self.feed_forward_residual(transform, x, is_token, deterministic)
        return x, written
