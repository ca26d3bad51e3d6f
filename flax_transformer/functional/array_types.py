"""Checks of array types, and conversions that do not depend on JAX's settings."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array


def check_masks(**masks: Array | np.ndarray | None) -> None:
    """Rejects attention masks that are not boolean.

    A mask that other libraries add to scores (0 and -1e9) would be read as the opposite.

    Raises:
        ValueError: if one has another type.
    """
    for name, mask in masks.items():
        if mask is not None and mask.dtype != bool:
            is_float = jnp.issubdtype(mask.dtype, jnp.floating)
            compare = "" if is_float else f"compare it: {name} != 0; "
            raise ValueError(
                f"{name} is {mask.dtype}, but must be boolean, True where a query may attend to a "
                f"key: {compare}if it is added to scores, give it as bias"
            )


def check_flags(**flags: Array | None) -> None:
    """Rejects flags of tokens that are not boolean.

    Raises:
        ValueError: if one has another type.
    """
    for name, array in flags.items():
        if array is not None and array.dtype != bool:
            raise ValueError(
                f"{name} is {array.dtype}, but must be boolean, True at tokens: compare it, as in "
                f"{name} != 0"
            )


def check_numbers(**arrays: Array | None) -> None:
    """Rejects booleans where numbers are added or multiplied.

    Raises:
        ValueError: if one is boolean.
    """
    for name, array in arrays.items():
        if array is not None and array.dtype == bool:
            instead = "it as mask" if name == "bias" else "the factors of dropout_multiplier"
            raise ValueError(f"{name} is bool, but must hold numbers: give {instead}")


def check_floats(**arrays: Array | None) -> None:
    """Rejects integers where results have the type of the arguments: results would be truncated.

    Raises:
        ValueError: if one is of another type.
    """
    for name, array in arrays.items():
        if array is not None and not jnp.issubdtype(array.dtype, jnp.floating):
            raise ValueError(f"{name} is {array.dtype}, but must be of a floating type: convert it")


def check_integers(**arrays: Array | None) -> None:
    """Rejects ids and places that are not integers.

    Raises:
        ValueError: if one has another type.
    """
    for name, array in arrays.items():
        if array is not None and not jnp.issubdtype(array.dtype, jnp.integer):
            raise ValueError(f"{name} is {array.dtype}, but must hold integers")


def at_least_float32(dtype: jax.typing.DTypeLike) -> jnp.dtype:
    """Returns a type of at least 32 bits: sums, scores and statistics need more than 16 bits."""
    dtype = jnp.dtype(dtype)
    # Not promote_types, which strict promotion forbids.
    return dtype if dtype.itemsize >= 4 else jnp.dtype("float32")


def along_last_axes(array: Array, rank: int) -> Array:
    """Adds leading axes of size 1, so that an array broadcasts against one of a higher rank.

    Example:
        >>> along_last_axes(jnp.ones(3), 3).shape
        (1, 1, 3)
    """
    return jnp.expand_dims(array, tuple(range(rank - array.ndim)))
