"""Poolings: one vector for a whole sequence."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from flax_transformer.functional.array_types import at_least_float32, check_flags, check_floats


@jax.jit
def first_token(
    hidden: Float[Array, "length d_model"], is_token: Bool[Array, " length"] | None = None
) -> Float[Array, " d_model"]:
    """Returns the vector of the first token, which may be a class token.

    hidden[min{i: is_token[i]}]

    Args:
        hidden: one vector a token.
        is_token: False at padding; None where nothing is padding.

    Returns:
        The vector; if there is only padding, that of the first place.

    Raises:
        ValueError: if the sequence is empty or not floating, or `is_token` has another length or
            type.

    Example:
        >>> first_token(jnp.array([[5.0], [3.0]]), jnp.array([False, True])).tolist()
        [3.0]

    Reference:
        Devlin et al. 2019, section 3.
    """
    _check(hidden, is_token)
    return hidden[0] if is_token is None else hidden[jnp.argmax(is_token)]


@jax.jit
def mean_of_tokens(
    hidden: Float[Array, "length d_model"], is_token: Bool[Array, " length"] | None = None
) -> Float[Array, " d_model"]:
    """Computes the mean of the vectors of all tokens; padding does not count.

    sum of hidden[i] over tokens i / number of tokens

    Args:
        hidden: one vector a token.
        is_token: False at padding; None where nothing is padding.

    Returns:
        The mean; zeros if there is only padding.

    Raises:
        ValueError: if the sequence is empty or not floating, or `is_token` has another length or
            type.

    Example:
        >>> hidden = jnp.array([[5.0], [3.0], [4.0]])
        >>> mean_of_tokens(hidden, jnp.array([False, True, True])).tolist()
        [3.5]
    """
    _check(hidden, is_token)
    if is_token is None:
        return hidden.mean(axis=0)
    # Many 16-bit numbers are not summed in 16 bits. Padding may hold NaN.
    wide = hidden.astype(at_least_float32(hidden.dtype))
    total = jnp.where(is_token[:, None], wide, 0).sum(axis=0)
    count = jnp.maximum(is_token.sum(), 1).astype(wide.dtype)
    return (total / count).astype(hidden.dtype)


@jax.jit
def max_of_tokens(
    hidden: Float[Array, "length d_model"], is_token: Bool[Array, " length"] | None = None
) -> Float[Array, " d_model"]:
    """Returns the largest value of each feature over all tokens; padding does not count.

    max of hidden[i] over tokens i

    Args:
        hidden: one vector a token.
        is_token: False at padding; None where nothing is padding.

    Returns:
        The maxima; zeros if there is only padding.

    Raises:
        ValueError: if the sequence is empty or not floating, or `is_token` has another length or
            type.

    Example:
        >>> hidden = jnp.array([[5.0, 9.0], [3.0, 1.0], [4.0, 0.0]])
        >>> max_of_tokens(hidden, jnp.array([False, True, True])).tolist()
        [4.0, 1.0]

    Reference:
        Collobert et al. 2011, "Natural Language Processing (Almost) from Scratch", section 3.3.2.
    """
    _check(hidden, is_token)
    if is_token is None:
        return hidden.max(axis=0)
    largest = jnp.where(is_token[:, None], hidden, -jnp.inf).max(axis=0)
    return jnp.where(is_token.any(), largest, 0)


POOLINGS: dict[str, Callable[[Array, Array | None], Array]] = {
    "first": first_token,
    "mean": mean_of_tokens,
    "max": max_of_tokens,
}


def _check(hidden: Array, is_token: Array | None) -> None:
    check_flags(is_token=is_token)
    check_floats(hidden=hidden)
    if not hidden.shape[0] or (is_token is not None and is_token.shape != hidden.shape[:1]):
        given = None if is_token is None else is_token.shape
        raise ValueError(f"hidden {hidden.shape} and is_token {given} are not a sequence of tokens")
