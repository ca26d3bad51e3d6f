"""Segments: which tokens of a row belong to one sequence, and where in it each stands.

Id 0 is padding; a row of one sequence has id 1 at its tokens, a packed row one id a sequence. So
padding on either side, packing and the plain row are one case.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from flax_transformer.functional.argument_checks import check_integers


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
    """Where another segment begins than the one before."""
    return jnp.concatenate([jnp.ones(1, bool), segments[1:] != segments[:-1]])


def _check_row(segments: Array) -> None:
    if segments.ndim != 1 or not segments.shape[0]:
        raise ValueError(f"segments {segments.shape} must be one row: vmap over a batch")
    check_integers(segments=segments)
