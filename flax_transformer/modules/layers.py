"""Encoder and decoder layers: attention and feed-forward in residual connections.

In decoding, the rows of one example are its members, the hypotheses of a search. Keys and values
that all members attend to are held once: the members' queries become further queries of one
example.
"""

import functools
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from flax_transformer.functional.cache import Written, append, lay_down, read_all, read_own
from flax_transformer.functional.layout import Layout, Positions
from flax_transformer.modules.feed_forward_network import FEED_FORWARDS
from flax_transformer.modules.layer_options import LayerOptions
from flax_transformer.modules.multi_head_attention import KeyValue, MultiHeadAttention
from flax_transformer.modules.norms import Residual


def attend_to_self(
    attention: MultiHeadAttention,
    inputs: Float[Array, "batch length d_model"],
    layout: Layout,
    position_table: Float[Array, "num_heads ..."] | None = None,
    deterministic: bool = True,
) -> Float[Array, "batch length d_model"]:
    """Lets the positions of whole sequences attend to each other.

    Args:
        attention: the module that attends.
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


class Past(NamedTuple):
    """Keys and values of the positions before the inputs.

    Attributes:
        written: keys and values, with room for those of the inputs.
        length: number of filled positions.
        is_shared: whether the mask is that of `functional.lineage_mask`, over all that an example's
            members wrote; else it is over what each row wrote itself.
    """

    written: Written
    length: Int[Array, ""]
    is_shared: bool = False


def attend_to_past(
    attention: MultiHeadAttention,
    inputs: Float[Array, "rows length d_model"],
    layout: Layout,
    past: Past,
    position_table: Float[Array, "num_heads ..."] | None = None,
) -> tuple[Float[Array, "rows length d_model"], Written]:
    """Lets new positions attend to themselves and to earlier ones.

    Args:
        attention: the module that attends.
        inputs: one vector a position.
        layout: of the inputs as queries, and of all positions so far as keys.
        past: keys and values of the positions before.
        position_table: see `MultiHeadAttention`.

    Returns:
        The outputs, and `written` with the inputs' keys and values added.
    """
    written, length, is_shared = past
    positions = layout.positions
    members = inputs.shape[0] // written.value.shape[0]
    new = attention.keys_values(inputs, positions and positions.query)
    written = append(written, lay_down(*new, members=members), length * members)
    keys_values = KeyValue(*(read_all(written) if is_shared else read_own(written, members)))
    attend = functools.partial(attend_to_shared, attention) if is_shared else attention
    attended = attend(
        inputs,
        keys_values,
        mask=layout.mask,
        positions=positions,
        position_table=position_table,
    )
    return attended, written


def attend_to_shared(
    attention: MultiHeadAttention,
    inputs: Float[Array, "rows length d_model"],
    keys_values: KeyValue,
    *,
    mask: Bool[Array, "#batch #queries #places"] | None = None,
    positions: Positions | None = None,
    position_table: Float[Array, "num_heads ..."] | None = None,
) -> Float[Array, "rows length d_model"]:
    """Lets the members of each example attend to keys and values that they share, without a copy.

    Args:
        attention: the module that attends.
        inputs: adjacent rows are members of one example.
        keys_values: of every example.
        mask: True where a query may attend to a place; the members' queries are one after the
            other.
        positions: of the queries of each row, and of the keys of its hypothesis.
        position_table: see `MultiHeadAttention`.
    """
    rows, length, _ = inputs.shape
    batch = keys_values.key.shape[0]
    query = attention.queries(inputs, positions and positions.query)
    bias = attention.score_bias(query, positions, position_table)
    if bias is not None:
        bias = _bias_of_all(bias, rows // batch)
    query = query.reshape(batch, -1, *query.shape[2:])
    heads = attention.attend(query, keys_values, mask=mask, bias=bias)
    return attention.merge(heads.reshape(rows, length, *heads.shape[2:]))


def _bias_of_all(bias: Array, members: int) -> Array:
    """Repeats a row's biases for every member that may have written a position of its hypothesis.

    [batch * members, heads, length, capacity] -> [batch, heads, members * length, capacity *
    members].
    """
    rows, heads, length, capacity = bias.shape
    bias = bias.reshape(rows // members, members, heads, length, capacity).swapaxes(1, 2)
    return jnp.repeat(
        bias.reshape(rows // members, heads, members * length, capacity), members, axis=-1
    )


def residual_of_self_attention(options: LayerOptions) -> Residual:
    """Makes the residual connection around self-attention."""
    assert isinstance(options.attention_norm, bool)
    return Residual(options, options.attention_norm)


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
        self.attention_residual = residual_of_self_attention(self.options)
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
        self.self_attention_residual = residual_of_self_attention(self.options)
        self.cross_attention_residual = Residual(self.options)
        self.feed_forward_residual = Residual(self.options)

    def memory_keys_values(self, memory: Float[Array, "batch length d_model"]) -> KeyValue:
        """Projects the encoder's output to the keys and values of cross-attention."""
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
        """Extends a sequence, attending to a source if there is one.

        Args:
            inputs: the positions to compute; with a memory or a past of fewer rows, adjacent rows
                are hypotheses of one example.
            layout: of the inputs as queries, and of all positions up to the inputs as keys.
            memory: from `memory_keys_values`; None: no source.
            memory_mask: True where a position may attend to the source.
            past: keys and values of the positions before the inputs; None: there are none.
            position_table: see `MultiHeadAttention`.
            deterministic: no dropout; there is none with a past.

        Returns:
            The outputs, and `past.written` with the inputs' keys and values, if there is a past.
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
