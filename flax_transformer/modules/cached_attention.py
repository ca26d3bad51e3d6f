"""Attention of decoding: to keys and values that were written before, by one row or by several.

The rows of one example, its members, are the hypotheses of a search. What they can all attend to is
held once: their queries become further queries of one example.
"""

import functools
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from flax_transformer.functional.cache import Written, append, lay_down, read_all, read_own
from flax_transformer.functional.layout import Layout, Positions
from flax_transformer.modules.multi_head_attention import KeyValue, MultiHeadAttention


class Past(NamedTuple):
    """Keys and values of the positions before the inputs.

    Attributes:
        written: with room for the inputs' own.
        length: how many positions are filled.
        is_shared: whether the mask is that of `functional.lineage_mask`, of all that an example's
            members wrote; else it is of what each row wrote itself.
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
    """Lets new positions attend to themselves and to those before.

    Args:
        attention: its parameters.
        inputs: one vector a position.
        layout: of the inputs as queries, and of all positions so far as keys.
        past: of the positions before.
        position_table: see `MultiHeadAttention`.

    Returns:
        The outputs, and what is written with the inputs' keys and values.
    """
    written, length, is_shared = past
    positions = layout.positions
    members = inputs.shape[0] // written.value.shape[0]
    new = attention.keys_values(inputs, positions and positions.query)
    written = append(written, lay_down(*new, members=members), length * members)
    keys_values = KeyValue(*(read_all(written) if is_shared else read_own(written, members)))
    attend = functools.partial(attend_to_shared, attention) if is_shared else attention
    mask = layout.mask
    attended = attend(
        inputs, keys_values, mask=mask, positions=positions, position_table=position_table
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
        attention: its parameters.
        inputs: adjacent rows are members of one example.
        keys_values: of every example.
        mask: True where a query may attend to a place; the members' queries are one after the
            other.
        positions: where the queries of each row and the positions of its hypothesis are.
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
    """A row's biases of its hypothesis' positions, for every member that may have written there.

    [batch * members, heads, length, capacity] -> [batch, heads, members * length, capacity *
    members].
    """
    rows, heads, length, capacity = bias.shape
    bias = bias.reshape(rows // members, members, heads, length, capacity).swapaxes(1, 2)
    return jnp.repeat(
        bias.reshape(rows // members, heads, members * length, capacity), members, axis=-1
    )
