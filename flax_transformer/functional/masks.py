"""Attention masks: boolean arrays in which True means "may attend"."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from flax_transformer.functional.array_types import along_last_axes, check_integers, check_masks


@functools.partial(jax.jit, static_argnames=("query_length", "key_length"))
def causal_mask(
    query_length: int, key_length: int | None = None, offset: int | Int[Array, ""] = 0
) -> Bool[Array, "query_length key_length"]:
    """Lets each position attend to itself and to earlier positions.

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
        ValueError: if a length is negative or the offset is not a single number.

    Example:
        >>> causal_mask(2, 4, offset=1).astype(int).tolist()
        [[1, 1, 0, 0], [1, 1, 1, 0]]

    Reference:
        Vaswani et al. 2017, section 3.2.3.
    """
    return _distances(query_length, key_length, offset) <= 0


@functools.partial(jax.jit, static_argnames=("query_length", "key_length", "window"))
def window_mask(
    query_length: int,
    key_length: int | None = None,
    *,
    window: int,
    offset: int | Int[Array, ""] = 0,
) -> Bool[Array, "query_length key_length"]:
    """Lets each position attend to itself and to its nearest neighbors on either side.

    mask[i, j] = |j - (i + offset)| < window

    Args:
        query_length: number of query positions.
        key_length: number of key positions; query_length if not given.
        window: number of positions seen to each side, a position itself included; together with
            a causal mask these are the last `window` positions.
        offset: number of positions that precede the first query, as with a key/value cache.

    Returns:
        The mask.

    Raises:
        ValueError: if a length is negative, the window is not positive or the offset is not a
            single number.

    Example:
        >>> window_mask(3, window=2).astype(int).tolist()
        [[1, 1, 0], [1, 1, 1], [0, 1, 1]]

    Reference:
        Luong et al. 2015, section 3.2 (local attention); Vaswani et al. 2017, section 4.
    """
    if window < 1:
        raise ValueError(f"window must be at least 1, not {window}")
    return jnp.abs(_distances(query_length, key_length, offset)) < window


@jax.jit
def padding_mask(
    segments: Int[Array, "*batch key_length"],
) -> Bool[Array, "*batch 1 key_length"]:
    """Lets every query attend to the keys that are not padding.

    mask[i, j] = segments[j] != 0

    Args:
        segments: segment ids of the keys, 0 for padding.

    Returns:
        The mask, with an axis of size 1 for the queries.

    Raises:
        ValueError: if the ids are not integers.

    Example:
        >>> padding_mask(jnp.array([[1, 1, 0]])).astype(int).tolist()
        [[[1, 1, 0]]]
    """
    check_integers(segments=segments)
    return (segments != 0)[..., None, :]


@jax.jit
def combine_masks(*masks: Bool[Array, "..."] | None) -> Bool[Array, "..."] | None:
    """Combines masks by a broadcast logical and; None allows everything.

    mask = masks_1 and masks_2 and ...

    Args:
        *masks: masks whose shapes broadcast against each other, or None.

    Returns:
        The combined mask, or None if all of them are None.

    Raises:
        ValueError: if the shapes do not broadcast, or a mask is not boolean.

    Example:
        >>> combine_masks(causal_mask(2), None, jnp.array([[True, False]])).astype(int).tolist()
        [[1, 0], [1, 0]]
    """
    given = [mask for mask in masks if mask is not None]
    for mask in given:
        check_masks(mask=mask)
    jnp.broadcast_shapes(*(mask.shape for mask in given))  # logical_and raises a TypeError
    if not given:
        return None
    rank = max(mask.ndim for mask in given)
    return functools.reduce(jnp.logical_and, [along_last_axes(mask, rank) for mask in given])


def _distances(query_length: int, key_length: int | None, offset: int | Array) -> Array:
    """Returns key minus query position; negative where the key comes before its query."""
    key_length = query_length if key_length is None else key_length
    if query_length < 0 or key_length < 0:
        raise ValueError(f"lengths must not be negative: {query_length} and {key_length}")
    if jnp.ndim(offset):
        raise ValueError(f"offset {jnp.shape(offset)} must be one number: vmap over a batch")
    return jnp.arange(key_length)[None, :] - (jnp.arange(query_length)[:, None] + offset)
