"""The KV cache of incremental decoding as an explicit pytree."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Int, Shaped

from flax_transformer.functional.array_types import along_last_axes, check_integers, check_masks
from flax_transformer.functional.kernels import with_kernel


class Written(NamedTuple):
    """Keys and values in the order in which attention reads them: heads first, keys transposed.

    A place holds the key or value that one member of an example wrote at one position: place =
    position * members + member. So everything that is written at once is one block.

    Attributes:
        key: [batch, heads, key_dim, places].
        value: [batch, heads, places, value_dim].
    """

    key: Shaped[Array, "batch heads key_dim places"]
    value: Shaped[Array, "batch heads places value_dim"]


class Cache(NamedTuple):
    """The state of a decoder between steps.

    Each row is a hypothesis. The hypotheses of one example are its members; their rows are
    adjacent. A search moves `history` with its hypotheses. Large arrays are never moved: the
    members of an example share the context, and `lineage` records which member wrote each position.

    Attributes:
        length: number of tokens every row has consumed so far.
        history: pytree of arrays [rows, ...] that belong to one hypothesis each.
        context: pytree of arrays [batch, ...] that belong to one example each; rows is a multiple
            of batch.
        written: the `Written` of every layer; never moved.
        lineage: member that wrote each position of a row's hypothesis. None until a hypothesis
            moves; until then, every row wrote all of its positions itself.
    """

    length: Int[Array, ""]
    history: Any
    context: Any
    written: tuple[Written, ...] = ()
    lineage: Int[Array, "rows capacity"] | None = None


def check_room(cache: Cache, new_length: int) -> None:
    """Rejects more tokens than a cache has room for.

    Inside `jax.jit` the number of filled positions is not known, and nothing is checked: further
    tokens would overwrite the last ones.

    Args:
        cache: its history is [rows, capacity].
        new_length: number of tokens to add.

    Raises:
        ValueError: outside of `jax.jit`, if they do not fit.
    """
    capacity = cache.history.shape[1]
    if not isinstance(cache.length, Tracer) and int(cache.length) + new_length > capacity:
        raise ValueError(
            f"{new_length} new tokens do not fit a cache of {capacity} positions, of which "
            f"{int(cache.length)} are filled: give `start` a larger capacity"
        )


@functools.partial(jax.jit, static_argnames="members")
def lay_down(
    key: Shaped[Array, "rows length heads key_dim"],
    value: Shaped[Array, "rows length heads value_dim"],
    members: int = 1,
) -> Written:
    """Stores keys and values in the order of `Written`.

    Args:
        key: of all heads.
        value: of all heads.
        members: rows of each example.

    Returns:
        The keys and values of rows / members examples.

    Raises:
        ValueError: if keys and values differ in rows, length or heads, or the rows are not a
            multiple of the members.

    Example:
        >>> key, value = jnp.zeros((6, 5, 2, 3)), jnp.zeros((6, 5, 2, 7))
        >>> [x.shape for x in lay_down(key, value, members=3)]
        [(2, 2, 3, 15), (2, 2, 15, 7)]
    """
    if key.shape[:-1] != value.shape[:-1]:
        raise ValueError(f"key {key.shape} and value {value.shape} differ in length or heads")
    if key.shape[0] % members:
        raise ValueError(f"the rows of key {key.shape} are not a multiple of {members} members")

    def heads_first(array: Array) -> Array:
        rows, length, heads, head_dim = array.shape
        array = array.reshape(rows // members, members, length, heads, head_dim)
        return array.transpose(0, 3, 2, 1, 4).reshape(-1, heads, length * members, head_dim)

    return Written(heads_first(key).swapaxes(2, 3), heads_first(value))


@jax.jit
def append(written: Written, new: Written, length: Int[Array, ""]) -> Written:
    """Writes new keys and values after the filled positions.

    Args:
        written: room for `capacity` positions of every member.
        new: keys and values of the next positions, from `lay_down` with as many members.
        length: number of places filled so far, of all members together. With the new ones it must
            not exceed the room; this is not checked, because the value is traced.

    Returns:
        All keys and values, the new ones included.

    Raises:
        ValueError: if `new` is longer than the room or does not fit it in another way, or if length
            is not a single number.

    Example:
        >>> room = lay_down(*jnp.zeros((2, 1, 3, 1, 1)))
        >>> append(room, lay_down(*jnp.ones((2, 1, 2, 1, 1))), jnp.int32(1)).value.ravel().tolist()
        [0.0, 1.0, 1.0]
    """
    if length.shape:
        raise ValueError(f"length {length.shape} must be one number, the same for every row")
    places, new_places = written.value.shape[2], new.value.shape[2]
    if new_places > places:
        raise ValueError(f"{new_places} new places do not fit a cache of {places}")
    for name, array, block, axis in zip(Written._fields, written, new, (3, 2), strict=True):
        if block.shape != (*array.shape[:axis], new_places, *array.shape[axis + 1 :]):
            raise ValueError(f"new {name} {block.shape} does not fit {array.shape}")
    return Written(
        write(written.key, new.key.astype(written.key.dtype), length, axis=3),
        write(written.value, new.value.astype(written.value.dtype), length, axis=2),
    )


@with_kernel("cache_write")
def write(
    array: Shaped[Array, "*shape"], block: Shaped[Array, "*part"], start: Int[Array, ""], axis: int
) -> Shaped[Array, "*shape"]:
    """Writes a block over the places of an axis, from `start` on."""
    return jax.lax.dynamic_update_slice_in_dim(array, block, start, axis)


@functools.partial(jax.jit, static_argnames="members")
def read_own(
    written: Written, members: int
) -> tuple[
    Shaped[Array, "rows capacity heads key_dim"], Shaped[Array, "rows capacity heads value_dim"]
]:
    """Returns the keys and values that each row wrote itself: the inverse of `lay_down`.

    Args:
        written: keys and values that the members of all examples wrote.
        members: rows of each example.

    Returns:
        (keys, values), in the order of attention's arguments.

    Raises:
        ValueError: if the number of places is not a multiple of the members.

    Example:
        >>> values = jnp.arange(6).reshape(1, 1, 6, 1)
        >>> read_own(Written(values.swapaxes(2, 3), values), 2)[1][..., 0, 0].tolist()
        [[0, 2, 4], [1, 3, 5]]
    """
    if written.value.shape[2] % members:
        raise ValueError(
            f"the places of value {written.value.shape} are not a multiple of {members} members"
        )

    def by_row(array: Array) -> Array:
        batch, heads, places, head_dim = array.shape
        own = array.reshape(batch, heads, places // members, members, head_dim)
        own = own.transpose(0, 3, 2, 1, 4)
        return own.reshape(batch * members, places // members, heads, head_dim)

    return by_row(written.key.swapaxes(2, 3)), by_row(written.value)


@jax.jit
def read_all(
    written: Written,
) -> tuple[
    Shaped[Array, "batch places heads key_dim"], Shaped[Array, "batch places heads value_dim"]
]:
    """Returns the keys and values of all places of each example, whichever member wrote them.

    Args:
        written: keys and values that the members of all examples wrote.

    Returns:
        (keys, values), in the order of attention's arguments.

    Example:
        >>> written = lay_down(jnp.zeros((6, 5, 2, 3)), jnp.zeros((6, 5, 2, 7)), members=3)
        >>> [x.shape for x in read_all(written)]
        [(2, 15, 2, 3), (2, 15, 2, 7)]
    """
    return written.key.transpose(0, 3, 1, 2), written.value.swapaxes(1, 2)


@functools.partial(jax.jit, static_argnames="members")
def lineage_mask(
    mask: Bool[Array, "rows new_length capacity"],
    lineage: Int[Array, "rows capacity"],
    members: int,
) -> Bool[Array, "batch queries places"]:
    """Masks the keys and values that do not belong to a row's own hypothesis.

    Args:
        mask: True where a row may attend to a position of its hypothesis.
        lineage: see `Cache`.
        members: rows of each example.

    Returns:
        The mask of all places, see `Written`, for the members' queries one after the other.

    Raises:
        ValueError: if the mask's rows are not a multiple of the members, the lineage has another
            shape, or one of the two has another type.

    Example:
        >>> mask, lineage = jnp.ones((2, 1, 3), bool), jnp.array([[0, 0, 0], [0, 0, 1]])
        >>> lineage_mask(mask, lineage, 2)[0].astype(int).tolist()
        [[1, 0, 1, 0, 1, 0], [1, 0, 1, 0, 0, 1]]
    """
    check_masks(mask=mask)
    check_integers(lineage=lineage)
    rows, new_length, capacity = mask.shape
    if rows % members or lineage.shape != (rows, capacity):
        raise ValueError(
            f"mask {mask.shape}, lineage {lineage.shape} and {members} members do not fit"
        )
    is_writer = lineage[:, None, :, None] == along_last_axes(jnp.arange(members), 4)
    of_all = mask[..., None] & is_writer
    return of_all.reshape(rows // members, members * new_length, capacity * members)
