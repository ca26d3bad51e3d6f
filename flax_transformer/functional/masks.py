"""Attention masks: boolean arrays in which True means "may attend"."""

import functools

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int


def causal_mask(
    query_length: int, key_length: int | None = None, offset: int | Int[Array, ""] = 0
) -> Bool[Array, "query_length key_length"]:
    """Lets each position attend to itself and to what came before it.

    mask[i, j] = j <= i + offset

        1 0 0
        1 1 0
        1 1 1

    Args:
        query_length: number of query positions.
        key_length: number of key positions; query_length if not given.
        offset: number of positions that precede the first query, as with a key/value cache.

    Returns:
        The mask.

    Raises:
        ValueError: if a length is negative.

    Example:
        >>> causal_mask(2, 4, offset=1).astype(int).tolist()
        [[1, 1, 0, 0], [1, 1, 1, 0]]

    Reference:
        Vaswani et al. 2017, section 3.2.3.
    """
    key_length = query_length if key_length is None else key_length
    if query_length < 0 or key_length < 0:
        raise ValueError(f"lengths must not be negative: {query_length} and {key_length}")
    return jnp.arange(key_length)[None, :] <= jnp.arange(query_length)[:, None] + offset


def padding_mask(
    tokens: Int[Array, "*batch key_length"], pad_id: int = 0
) -> Bool[Array, "*batch 1 key_length"]:
    """Lets every query attend to the keys that are not padding.

    Args:
        tokens: token ids of the keys.
        pad_id: the id that marks padding.

    Returns:
        The mask, with an axis of size 1 for the queries.

    Example:
        >>> padding_mask(jnp.array([[5, 7, 0]])).astype(int).tolist()
        [[[1, 1, 0]]]
    """
    return (tokens != pad_id)[..., None, :]


def combine_masks(*masks: Bool[Array, "..."] | None) -> Bool[Array, "..."] | None:
    """Allows what every given mask allows: the logical and, broadcast; None allows everything.

    Args:
        *masks: masks whose shapes broadcast against each other, or None.

    Returns:
        The combined mask, or None if all of them are None.

    Raises:
        ValueError: if the shapes do not broadcast.

    Example:
        >>> combine_masks(causal_mask(2), None, jnp.array([[True, False]])).astype(int).tolist()
        [[1, 0], [1, 0]]
    """
    given = [mask for mask in masks if mask is not None]
    jnp.broadcast_shapes(*(mask.shape for mask in given))  # logical_and raises a TypeError
    return functools.reduce(jnp.logical_and, given) if given else None
