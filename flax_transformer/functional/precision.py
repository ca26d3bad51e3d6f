"""Explicit types and axes, which do not depend on JAX's settings."""

import jax
import jax.numpy as jnp
from jaxtyping import Array


def at_least_float32(dtype: jax.typing.DTypeLike) -> jnp.dtype:
    """Gives a type of at least 32 bits: sums, scores and statistics need more than 16 bits."""
    dtype = jnp.dtype(dtype)
    # Not promote_types, which strict promotion forbids.
    return dtype if dtype.itemsize >= 4 else jnp.dtype("float32")


def along_last_axes(array: Array, rank: int) -> Array:
    """Gives an array leading axes of size 1, so that it broadcasts against one of a higher rank.

    Example:
        >>> along_last_axes(jnp.ones(3), 3).shape
        (1, 1, 3)
    """
    return jnp.expand_dims(array, tuple(range(rank - array.ndim)))
