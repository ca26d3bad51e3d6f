"""The layout of the tokens of a batch: attention masks, positions and lengths.

Segments say which tokens of a row belong to one sequence. Id 0 is padding. In a row of one
sequence, tokens have id 1; a packed row has one id for each sequence. So padding on either side,
packing and plain rows are one case.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Shaped

from flax_transformer.functional.array_types import check_flags, check_integers
from flax_transformer.functional.masks import causal_mask, combine_masks, window_mask


class Positions(NamedTuple):
    """Positions of queries and keys, in tokens from 0."""

    query: Int[Array, "batch query_length"]
    key: Int[Array, "batch key_length"]


class Layout(NamedTuple):
    """The information about tokens that self-attention and norms need besides the vectors.

    Attributes:
        mask: True where a query may attend to a key; None where every query may attend to all.
        positions: of queries and keys; None if the positional scheme does not need them.
        lengths: number of tokens of each query's sequence; None if the scheme does not need them.
        is_token: False at padding; None where nothing is padding.
    """

    mask: Bool[Array, "batch query_length key_length"] | None = None
    positions: Positions | None = None
    lengths: Int[Array, "batch query_length"] | None = None
    is_token: Bool[Array, "batch query_length"] | None = None


@functools.partial(jax.jit, static_argnames=("causal", "window"))
def lay_out(
    segments: Int[Array, "batch length"], *, causal: bool = False, window: int | None = None
) -> Layout:
    """Computes the layout of whole sequences.

    mask[i, j] = same segment, not padding; if causal, j <= i; with a window, |j - i| < window

    Args:
        segments: 0 for padding; packed sequences of a row have different ids.
        causal: whether a token sees only itself and earlier tokens.
        window: how many positions a token sees to each side, itself included; all if None.

    Returns:
        The layout, in which every token is both a query and a key.

    Raises:
        ValueError: if the segments are not a batch of integer rows, or the window is not positive.

    Example:
        >>> layout = lay_out(jnp.array([[0, 1, 1]]), causal=True)
        >>> layout.mask.astype(int).tolist(), layout.positions.key.tolist()
        ([[[0, 0, 0], [0, 1, 0], [0, 1, 1]]], [[0, 0, 1]])
    """
    _check_batch("segments", segments)
    check_integers(segments=segments)
    length = segments.shape[1]
    mask = combine_masks(
        segment_mask(segments, segments),
        causal_mask(length) if causal else None,
        None if window is None else window_mask(length, window=window),
    )
    positions = jax.vmap(segment_positions)(segments)
    lengths = jax.vmap(segment_lengths)(segments)
    return Layout(mask, Positions(positions, positions), lengths, segments != 0)


@functools.partial(jax.jit, static_argnames="window")
def lay_out_unpadded(
    tokens: Shaped[Array, "batch length *features"], *, window: int | None = None
) -> Layout:
    """Computes the layout of sequences without padding, such as images and videos.

    mask[i, j] = |j - i| < window, or no mask at all

    Args:
        tokens: one row a sequence; only the shape is used.
        window: how many positions a token sees to each side, itself included; all if None.

    Returns:
        The layout, in which every token is both a query and a key.

    Raises:
        ValueError: if the tokens are not a batch of rows, or the window is not positive.

    Example:
        >>> layout = lay_out_unpadded(jnp.zeros((1, 3)))
        >>> layout.mask, layout.positions.key.tolist(), layout.lengths.tolist()
        (None, [[0, 1, 2]], [[3, 3, 3]])
    """
    if tokens.ndim < 2:
        raise ValueError(f"tokens {tokens.shape} must be a batch of rows")
    batch, length = tokens.shape[:2]
    mask = None
    if window is not None:
        mask = jnp.broadcast_to(window_mask(length, window=window), (batch, length, length))
    positions = jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32), (batch, length))
    return Layout(mask, Positions(positions, positions), jnp.full_like(positions, length))


@functools.partial(jax.jit, static_argnames=("new_length", "window"))
def lay_out_cached(
    is_token: Bool[Array, "rows capacity"],
    length: Int[Array, ""],
    new_length: int,
    *,
    window: int | None = None,
) -> Layout:
    """Computes the layout of the newest tokens as queries and all tokens so far as keys.

    position(i) = number of tokens before i; padding is not counted, wherever it is

    Args:
        is_token: which places of a cache hold tokens, the newest ones included.
        length: places filled before the newest tokens.
        new_length: number of newest places in each row.
        window: how many positions a token looks back, itself included; all if None.

    Returns:
        The layout, without `lengths`, because the sequences still grow.

    Raises:
        ValueError: if there are more new places than the cache has, or the window is not positive.

    Example:
        >>> is_token = jnp.array([[False, True, True, False]])
        >>> layout = lay_out_cached(is_token, jnp.int32(2), 1)
        >>> layout.mask.astype(int).tolist(), layout.positions.query.tolist()
        ([[[0, 1, 1, 0]]], [[1]])
    """
    _check_batch("is_token", is_token)
    check_flags(is_token=is_token)
    capacity = is_token.shape[1]
    if new_length > capacity:
        raise ValueError(f"{new_length} new tokens do not fit a cache {is_token.shape}")
    mask = combine_masks(
        is_token[:, None, :],
        causal_mask(new_length, capacity, length),
        None if window is None else window_mask(new_length, capacity, window=window, offset=length),
    )
    key = jnp.maximum(jnp.cumsum(is_token, axis=1) - 1, 0)
    query = jax.lax.dynamic_slice_in_dim(key, length, new_length, axis=1)
    new = jax.lax.dynamic_slice_in_dim(is_token, length, new_length, axis=1)
    return Layout(mask, Positions(query, key), None, new)


def _check_batch(name: str, array: Array) -> None:
    if array.ndim != 2:
        raise ValueError(f"{name} {array.shape} must be a batch of rows")


@jax.jit
def token_segments(
    tokens: Int[Array, "*batch length"], pad_id: int | Int[Array, ""]
) -> Int[Array, "*batch length"]:
    """Treats each row as one sequence.

    segment(i) = [token(i) != pad_id]

    Args:
        tokens: token ids.
        pad_id: the id of padding.

    Returns:
        The segment ids: 1 for tokens, 0 for padding.

    Raises:
        ValueError: if the tokens are not integers.

    Example:
        >>> token_segments(jnp.array([5, 7, 0]), pad_id=0).tolist()
        [1, 1, 0]
    """
    check_integers(tokens=tokens)
    return (tokens != pad_id).astype(jnp.int32)


@jax.jit
def segment_positions(segments: Int[Array, " length"]) -> Int[Array, " length"]:
    """Counts the tokens of each segment from 0.

    position(i) = i - (first index of the run of equal ids that holds i)

    Args:
        segments: segment ids of one row; the tokens of a segment are adjacent.

    Returns:
        The place of each token within its segment.

    Raises:
        ValueError: if the ids are not one row of integers.

    Example:
        >>> segment_positions(jnp.array([0, 0, 1, 1, 1, 2, 2])).tolist()
        [0, 1, 0, 1, 2, 0, 1]
    """
    _check_row(segments)
    places = jnp.arange(segments.shape[0], dtype=jnp.int32)
    return places - jax.lax.cummax(jnp.where(_begins(segments), places, 0))


@jax.jit
def segment_lengths(segments: Int[Array, " length"]) -> Int[Array, " length"]:
    """Counts the tokens of each token's segment.

    length(i) = number of tokens in the run of equal ids that holds i

    Args:
        segments: segment ids of one row; the tokens of a segment are adjacent.

    Returns:
        The number of tokens of each token's segment.

    Raises:
        ValueError: if the ids are not one row of integers.

    Example:
        >>> segment_lengths(jnp.array([1, 1, 1, 2, 2, 0])).tolist()
        [3, 3, 3, 2, 2, 1]
    """
    _check_row(segments)
    run = jnp.cumsum(_begins(segments)) - 1
    return jnp.bincount(run, length=segments.shape[0])[run]


@jax.jit
def segment_mask(
    query_segments: Int[Array, "*batch query_length"],
    key_segments: Int[Array, "*batch key_length"],
) -> Bool[Array, "*batch query_length key_length"]:
    """Lets each query attend to the keys of its own segment.

    mask[i, j] = (query_segments[i] = key_segments[j]) and (key_segments[j] != 0)

    Args:
        query_segments: segment id of each query, 0 for padding.
        key_segments: segment id of each key, 0 for padding.

    Returns:
        The mask; padding neither attends nor is attended to.

    Raises:
        ValueError: if the axes before the last differ, or the ids are not integers.

    Example:
        >>> segment_mask(jnp.array([1, 2]), jnp.array([1, 2, 2, 0])).astype(int).tolist()
        [[1, 0, 0, 0], [0, 1, 1, 0]]

    Reference:
        Raffel et al. 2020, section 3.1.2 (packing).
    """
    check_integers(query_segments=query_segments, key_segments=key_segments)
    if query_segments.shape[:-1] != key_segments.shape[:-1]:
        raise ValueError(
            f"query_segments {query_segments.shape} and key_segments {key_segments.shape} differ "
            "before the last axis"
        )
    key = key_segments[..., None, :]
    return (query_segments[..., :, None] == key) & (key != 0)


def _begins(segments: Array) -> Array:
    """Returns True at the first token of each run of equal ids."""
    return jnp.concatenate([jnp.ones(1, bool), segments[1:] != segments[:-1]])


def _check_row(segments: Array) -> None:
    if segments.ndim != 1 or not segments.shape[0]:
        raise ValueError(f"segments {segments.shape} must be one row: vmap over a batch")
    check_integers(segments=segments)
