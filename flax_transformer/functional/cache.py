"""The key/value cache of incremental decoding as an explicit pytree."""

from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Int, Shaped


class Cache(NamedTuple):
    """What a decoder remembers between steps.

    A search reorders `history` with its hypotheses and never touches `context`: hypotheses of one
    example are adjacent rows and share the example's context, so nothing of it is ever copied.

    Attributes:
        length: number of tokens every row has consumed so far.
        history: pytree of arrays [rows, ...] that belong to one hypothesis each.
        context: pytree of arrays [batch, ...] that belong to one example each; rows is a multiple
            of batch.
    """

    length: Int[Array, ""]
    history: Any
    context: Any


@jax.jit
def append(
    buffer: Shaped[Array, "rows capacity heads head_dim"],
    new: Shaped[Array, "rows new_length heads head_dim"],
    length: Int[Array, ""],
) -> Shaped[Array, "rows capacity heads head_dim"]:
    """Writes new keys or values behind the `length` ones already in the buffer.

    buffer[:, length + i] = new[:, i]

    Args:
        buffer: room for `capacity` positions a row.
        new: keys or values of the next `new_length` positions.
        length: number of positions filled so far; length + new_length must not exceed capacity
            (a traced value, so this is the caller's promise).

    Returns:
        The buffer with positions length .. length + new_length - 1 filled.

    Raises:
        ValueError: if `new` is longer than the buffer or differs from it in another axis, or if
            length is no single number.

    Example:
        >>> import jax.numpy as jnp
        >>> buffer = append(jnp.zeros((1, 3, 1, 1)), jnp.ones((1, 2, 1, 1)), jnp.int32(1))
        >>> buffer.ravel().tolist()
        [0.0, 1.0, 1.0]
    """
    if new.shape[1] > buffer.shape[1]:
        raise ValueError(f"{new.shape[1]} new positions do not fit a cache of {buffer.shape[1]}")
    if new.shape != (buffer.shape[0], new.shape[1], *buffer.shape[2:]):
        raise ValueError(f"new {new.shape} and buffer {buffer.shape} differ beside the length")
    if length.shape:
        raise ValueError(f"length {length.shape} must be one number, the same for every row")
    return jax.lax.dynamic_update_slice_in_dim(buffer, new.astype(buffer.dtype), length, axis=1)
