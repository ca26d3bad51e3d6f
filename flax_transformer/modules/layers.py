"""Encoder and decoder layers: attention and feed-forward in residual connections."""

import flax.linen as nn
from jaxtyping import Array, Bool, Float

from flax_transformer.functional.cache import Written
from flax_transformer.functional.layout import Layout
from flax_transformer.modules.cached_attention import Past, attend_to_past, attend_to_shared
from flax_transformer.modules.feed_forward_network import FEED_FORWARDS
from flax_transformer.modules.layer_options import LayerOptions
from flax_transformer.modules.multi_head_attention import KeyValue, MultiHeadAttention
from flax_transformer.modules.norms import NORMS, Dropout
from flax_transformer.modules.observe import observe


class Residual(nn.Module):
    """The normalization and dropout of a residual connection around a sublayer f.

    post: norm(x + dropout(f(x)))
    pre:  x + dropout(f(norm(x)))
    both: x + dropout(norm_2(f(norm(x))))

    That is, `after(x, f(before(x)))`. Observed, see `observe`: sublayer_input, sublayer_output and
    residual, the sum.

    Attributes:
        options: norm, norm_placement, norm_epsilon, norm_bias, residual_dropout_rate and dtype are
            read.

    Parameters:
        normalize/scale [d_model], and normalize/bias [d_model] if the normalization has one; the
        same of normalize_output if there are both.

    Reference:
        Vaswani et al. 2017, sections 3.1 and 5.4 (post); Xiong et al. 2020 (pre); Gemma Team 2024,
        "Gemma 2", section 2 (both).
    """

    options: LayerOptions

    def setup(self) -> None:
        """Creates the normalizations."""
        self.normalize = make_norm(self.options)
        if self.options.norm_placement == "both":
            self.normalize_output = make_norm(self.options)
        self.dropout = Dropout(self.options.residual_dropout_rate)

    def before(
        self,
        inputs: Float[Array, "batch length d_model"],
        is_token: Bool[Array, "batch length"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch length d_model"]:
        """Gives what the sublayer reads.

        Args:
            inputs: of the connection.
            is_token: False at padding, which batch normalization leaves out.
            deterministic: running statistics in batch normalization.
        """
        if self.options.norm_placement != "post":
            inputs = self.normalize(inputs, is_token, deterministic)
        return observe(self, "sublayer_input", inputs)

    def after(
        self,
        inputs: Float[Array, "batch length d_model"],
        outputs: Float[Array, "batch length d_model"],
        is_token: Bool[Array, "batch length"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch length d_model"]:
        """Adds what the sublayer gives to the inputs.

        Args:
            inputs: of the connection.
            outputs: of the sublayer.
            is_token: see `before`.
            deterministic: likewise, and no dropout.
        """
        outputs = observe(self, "sublayer_output", outputs)
        if self.options.norm_placement == "both":
            outputs = self.normalize_output(outputs, is_token, deterministic)
        x = inputs + self.dropout(outputs, deterministic)
        if self.options.norm_placement == "post":
            x = self.normalize(x, is_token, deterministic)
        return observe(self, "residual", x)


def make_norm(options: LayerOptions) -> nn.Module:
    """Makes a normalization of the kind that the options name."""
    return NORMS[options.norm](options.norm_epsilon, options.dtype, options.norm_bias)


def attend_to_self(
    attention: MultiHeadAttention,
    inputs: Float[Array, "batch length d_model"],
    layout: Layout,
    position_table: Float[Array, "num_heads ..."] | None = None,
    deterministic: bool = True,
) -> Float[Array, "batch length d_model"]:
    """Lets the positions of whole sequences attend to each other.

    Args:
        attention: its parameters.
        inputs: one vector a position.
        layout: of the inputs.
        position_table: see `MultiHeadAttention`.
        deterministic: no dropout.
    """
    positions = layout.positions
    return attention(
        inputs,
        attention.keys_values(inputs, positions and positions.key),
        mask=layout.mask,
        positions=positions,
        position_table=position_table,
        deterministic=deterministic,
    )


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network.

    Attributes:
        options: sizes and choices.

    Reference:
        Vaswani et al. 2017, section 3.1.
    """

    options: LayerOptions

    def setup(self) -> None:
        """Creates the sublayers and their connections."""
        self.attention = MultiHeadAttention(self.options)
        self.feed_forward = FEED_FORWARDS[self.options.feed_forward](self.options)
        self.attention_residual = Residual(self.options)
        self.feed_forward_residual = Residual(self.options)

    def __call__(
        self,
        inputs: Float[Array, "batch length d_model"],
        layout: Layout,
        *,
        position_table: Float[Array, "num_heads ..."] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch length d_model"]:
        """Lets the positions of a sequence attend to each other.

        Args:
            inputs: one vector a position.
            layout: of the inputs.
            position_table: see `MultiHeadAttention`.
            deterministic: no dropout.
        """
        others = (layout.is_token, deterministic)
        y = self.attention_residual.before(inputs, *others)
        y = attend_to_self(self.attention, y, layout, position_table, deterministic)
        x = self.attention_residual.after(inputs, y, *others)
        y = self.feed_forward_residual.before(x, *others)
        y = self.feed_forward(y, layout.is_token, deterministic=deterministic)
        return self.feed_forward_residual.after(x, y, *others)


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to the encoder's output if there is one, and feed-forward.

    Without an encoder's output the layer has no parameters for it.

    Attributes:
        options: sizes and choices.

    Reference:
        Vaswani et al. 2017, section 3.1; Radford et al. 2019, section 2.3 (without an encoder).
    """

    options: LayerOptions

    def setup(self) -> None:
        """Creates the sublayers and their connections."""
        self.self_attention = MultiHeadAttention(self.options, bidirectional=False)
        # Positions of two sequences have no distance.
        without = self.options.of_layer(positions="none", share_position_table=False)
        self.cross_attention = MultiHeadAttention(without)
        self.feed_forward = FEED_FORWARDS[self.options.feed_forward](self.options)
        self.self_attention_residual = Residual(self.options)
        self.cross_attention_residual = Residual(self.options)
        self.feed_forward_residual = Residual(self.options)

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
        past: Past | None = None,
        position_table: Float[Array, "num_heads ..."] | None = None,
        deterministic: bool = True,
    ) -> tuple[Float[Array, "rows length d_model"], Written | None]:
        """Extends a sequence, in view of a source if there is one.

        Args:
            inputs: the positions to compute; with a memory or a past of fewer rows, adjacent rows
                are hypotheses of one example.
            layout: of the inputs as queries, and of them with the positions before them as keys.
            memory: from `memory_keys_values`; None: no source.
            memory_mask: True where a position may attend to the source.
            past: keys and values of the positions before the inputs; None: there are none.
            position_table: see `MultiHeadAttention`.
            deterministic: no dropout; there is none with a past.

        Returns:
            The outputs, and what is written with the inputs' keys and values, if there is a past.
        """
        written, others = None, (layout.is_token, deterministic)
        y = self.self_attention_residual.before(inputs, *others)
        if past is None:
            y = attend_to_self(self.self_attention, y, layout, position_table, deterministic)
        else:
            y, written = attend_to_past(self.self_attention, y, layout, past, position_table)
        x = self.self_attention_residual.after(inputs, y, *others)
        if memory is not None:
            y = self.cross_attention_residual.before(x, *others)
            if past is None:
                y = self.cross_attention(y, memory, mask=memory_mask, deterministic=deterministic)
            else:
                y = attend_to_shared(self.cross_attention, y, memory, mask=memory_mask)
            x = self.cross_attention_residual.after(x, y, *others)
        y = self.feed_forward_residual.before(x, *others)
        y = self.feed_forward(y, layout.is_token, deterministic=deterministic)
        return self.feed_forward_residual.after(x, y, *others), written
