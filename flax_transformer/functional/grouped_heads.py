"""Queries, keys and values of all heads, in the groups that share keys and values."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class GroupedHeads(NamedTuple):
    """What `multi_head_attend` is asked, heads split into (key_value_heads, group).

    Attributes:
        query: queries of all heads.
        key: keys of all heads.
        value: values of all heads.
        mask: True where a query may attend to a key.
        bias: added to the scaled scores.
        dropout: multiplier of the weights.
    """

    query: Float[Array, "batch query_length key_value_heads group head_dim"]
    key: Float[Array, "batch key_length key_value_heads head_dim"]
    value: Float[Array, "batch key_length key_value_heads value_dim"]
    mask: Bool[Array, "batch query_length key_length"] | None
    bias: Float[Array, "batch key_value_heads group query_length key_length"] | None
    dropout: Float[Array, "batch key_value_heads group query_length key_length"] | None


def group_heads(
    query: Float[Array, "batch query_length heads head_dim"],
    key: Float[Array, "batch key_length key_value_heads head_dim"],
    value: Float[Array, "batch key_length key_value_heads value_dim"],
    mask: Bool[Array, "#batch #query_length #key_length"] | None,
    bias: Float[Array, "#batch heads query_length key_length"] | None,
    dropout: Float[Array, "batch heads query_length key_length"] | None,
) -> GroupedHeads:
    """Splits the heads into groups of adjacent ones, and broadcasts mask and bias over the batch.

    Raises:
        ValueError: if the shapes do not fit each other.
    """
    if query.shape[0] != key.shape[0] or query.shape[2] % key.shape[2]:
        raise ValueError(
            f"query {query.shape} and key {key.shape} differ in batch, or the key's heads do not "
            "divide the query's"
        )
    batch, query_length, heads, _ = query.shape
    key_length, key_value_heads = key.shape[1:3]
    groups = (key_value_heads, heads // key_value_heads)
    if mask is not None:
        full = (batch, query_length, key_length)
        if mask.ndim != 3 or any(
            size not in (1, whole) for size, whole in zip(mask.shape, full, strict=True)
        ):
            raise ValueError(
                f"mask {mask.shape} must be (batch, query_length, key_length) = {full}, or 1"
            )
        mask = jnp.broadcast_to(mask, full)

    def split(name: str, array: Array | None) -> Array | None:
        if array is None:
            return None
        shape = (batch, heads, query_length, key_length)
        if array.shape not in (shape, (1, *shape[1:])):
            raise ValueError(
                f"{name} {array.shape} must be (batch, heads, query_length, key_length) = {shape}"
            )
        return jnp.broadcast_to(array, shape).reshape(batch, *groups, query_length, key_length)

    query = query.reshape(batch, query_length, *groups, -1)
    return GroupedHeads(query, key, value, mask, split("bias", bias), split("dropout", dropout))
