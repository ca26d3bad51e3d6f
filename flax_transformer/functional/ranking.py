"""Finds the largest of many values."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flax_transformer.functional.kernels import with_kernel


@with_kernel("top_k")
def top_k(
    values: Float[Array, "*rows vocab"], k: int
) -> tuple[Float[Array, "*rows k"], Int[Array, "*rows k"]]:
    """Finds the largest values.

    Args:
        values: [*rows, vocab], without NaN; a row of NaN does not affect other rows.
        k: number of values to find, at most vocab.

    Returns:
        The largest values, the largest first, and their places; equal ones are ordered by place.

    Example:
        >>> top_k(jnp.array([3.0, 7.0, 5.0, 7.0]), 3)[1].tolist()
        [1, 3, 2]
    """
    best, places = jax.lax.top_k(values, k)
    return best, places


@with_kernel("argmax")
def argmax(values: Float[Array, "*rows vocab"]) -> Int[Array, "*rows"]:
    """Finds the place of the largest value.

    Args:
        values: [*rows, vocab], without NaN.

    Returns:
        The place; if several values are equal, the lowest place.

    Example:
        >>> argmax(jnp.array([3.0, 7.0, 5.0, 7.0])).item()
        1
    """
    return jax.lax.argmax(values, values.ndim - 1, jnp.int32)
