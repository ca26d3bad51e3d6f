"""The key/value cache of incremental decoding as an explicit pytree."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Shaped


class Cache(NamedTuple):
    """What a decoder remembers between steps.

    Rows are hypotheses; those of one example, its members, are adjacent. A search moves `history`
    with its hypotheses. What is large stays where it is: the context is shared by the members of an
    example, and what they wrote is found again through `lineage`.

    Attributes:
        length: number of tokens every row has consumed so far.
        history: pytree of arrays [rows, ...] that belong to one hypothesis each.
        context: pytree of arrays [batch, ...] that belong to one example each; rows is a multiple
            of batch.
        written: pytree of arrays [batch, heads, places, head_dim]: what each member of an example
            wrote at each place, see `append`. Never moved.
        lineage: member that wrote what a row's hypothesis holds at each place; None as long as no
            hypothesis has moved, when every row has written all of its own.
    """

    length: Int[Array, ""]
    history: Any
    context: Any
    written: Any = ()
    lineage: Int[Array, "rows capacity"] | None = None


@jax.jit
def append(
    buffer: Shaped[Array, "batch heads places head_dim"],
    new: Shaped[Array, "rows new_length heads head_dim"],
    length: Int[Array, ""],
) -> Shaped[Array, "batch heads places head_dim"]:
    """Writes new keys or values behind the `length` ones already in the buffer.

    buffer[b, h, (length + i) members + m] = new[b members + m, i, h]

    Heads come first and members last: so what is written is one block, and what attention reads
    lies as it is multiplied.

    Args:
        buffer: room for `capacity` positions of every member; places = capacity members.
        new: keys or values of the next `new_length` positions; rows = batch members.
        length: number of positions filled so far; length + new_length must not exceed capacity
            (a traced value, so this is the caller's promise).

    Returns:
        The buffer with positions length .. length + new_length - 1 filled.

    Raises:
        ValueError: if `new` is longer than the buffer or does not fit it in another way, or if
            length is no single number.

    Example:
        >>> buffer = append(jnp.zeros((1, 1, 3, 1)), jnp.ones((1, 2, 1, 1)), jnp.int32(1))
        >>> buffer.ravel().tolist()
        [0.0, 1.0, 1.0]
    """
    batch, heads, places, head_dim = buffer.shape
    rows, new_length = new.shape[:2]
    members = rows // batch
    if new.shape != (batch * members, new_length, heads, head_dim) or places % max(members, 1):
        raise ValueError(f"new {new.shape} does not fit buffer {buffer.shape}")
    if new_length * members > places:
        capacity = places // members
        raise ValueError(f"{new_length} new positions do not fit a cache of {capacity}")
    if length.shape:
        raise ValueError(f"length {length.shape} must be one number, the same for every row")
    block = new.reshape(batch, members, new_length, heads, head_dim).transpose(0, 3, 2, 1, 4)
    block = block.reshape(batch, heads, new_length * members, head_dim).astype(buffer.dtype)
    return jax.lax.dynamic_update_slice_in_dim(buffer, block, length * members, axis=2)


@functools.partial(jax.jit, static_argnames="members")
def read_own(
    buffer: Shaped[Array, "batch heads places head_dim"], members: int
) -> Shaped[Array, "rows capacity heads head_dim"]:
    """Gives every row what it wrote itself.

    Args:
        buffer: from `append`.
        members: rows of each example.

    Raises:
        ValueError: if the places are not those of so many members.

    Example:
        >>> buffer = jnp.arange(6).reshape(1, 1, 6, 1)
        >>> read_own(buffer, 2)[..., 0, 0].tolist()
        [[0, 2, 4], [1, 3, 5]]
    """
    batch, heads, places, head_dim = buffer.shape
    if places % members:
        raise ValueError(f"places of buffer {buffer.shape} are no multiple of {members} members")
    own = buffer.reshape(batch, heads, places // members, members, head_dim)
    own = own.transpose(0, 3, 2, 1, 4)
    return own.reshape(batch * members, places // members, heads, head_dim)


@functools.partial(jax.jit, static_argnames="members")
def lineage_mask(
    mask: Bool[Array, "rows new_length capacity"],
    lineage: Int[Array, "rows capacity"],
    members: int,
) -> Bool[Array, "batch queries places"]:
    """Lets every row see, of all that its example's members wrote, what its own hypothesis holds.

    Args:
        mask: True where a row may attend to a position of its hypothesis.
        lineage: see `Cache`.
        members: rows of each example.

    Returns:
        The mask of all places of a buffer, for the members' queries one after the other.

    Raises:
        ValueError: if the mask's rows are no multiple of the members, or the lineage has another
            shape.

    Example:
        >>> mask, lineage = jnp.ones((2, 1, 3), bool), jnp.array([[0, 0, 0], [0, 0, 1]])
        >>> lineage_mask(mask, lineage, 2)[0].astype(int).tolist()
        [[1, 0, 1, 0, 1, 0], [1, 0, 1, 0, 0, 1]]
    """
    rows, new_length, capacity = mask.shape
    if rows % members or lineage.shape != (rows, capacity):
        raise ValueError(
            f"mask {mask.shape}, lineage {lineage.shape} and {members} members do not fit"
        )
    is_writer = lineage[:, None, :, None] == jnp.arange(members)
    of_all = mask[..., None] & is_writer
    return of_all.reshape(rows // members, members * new_length, capacity * members)
