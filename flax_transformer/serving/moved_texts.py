"""Texts that move between caches: their keys and values."""

import functools

import jax
import numpy as np
from jaxtyping import Array, Int

from flax_transformer.functional.cache import Cache, Written


@functools.partial(jax.jit, donate_argnums=0)
def insert_text(cache: Cache, text: Cache, row: Int[Array, ""], end: Int[Array, ""]) -> Cache:
    """Copies the keys and values of a text to the places of a row before `end`.

    Args:
        cache: of all rows.
        text: the cache of one row, all of whose places are filled.
        row: for the text.
        end: number of filled places.
    """
    first = end - text.history.shape[1]

    def put(array: Array, block: Array, *start: int | Array) -> Array:
        return jax.lax.dynamic_update_slice(array, block, start)

    written = tuple(
        Written(
            put(old.key, new.key, row, 0, 0, first), put(old.value, new.value, row, 0, first, 0)
        )
        for old, new in zip(cache.written, text.written, strict=True)
    )
    history = cache.history.at[row].set(False)
    return cache._replace(history=put(history, text.history, row, first), written=written)


def copied_texts(
    old: Cache, rows: np.ndarray, lengths: np.ndarray, end: int, empty: Cache, new_end: int
) -> Cache:
    """Copies the last places before `end` of some rows to the first rows of an empty cache.

    Args:
        old: cache of the texts.
        rows: of the texts.
        lengths: number of places of each.
        end: number of filled places.
        empty: cache to copy to, of any size that has room.
        new_end: number of filled places there.
    """
    old, new = jax.tree.map(np.asarray, old), jax.tree.map(np.array, empty)
    for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        before, after = slice(end - length, end), slice(new_end - length, new_end)
        new.history[place, after] = True
        for its, own in zip(old.written, new.written, strict=True):
            own.key[place, ..., after] = its.key[row, ..., before]
            own.value[place, :, after] = its.value[row, :, before]
    return jax.tree.map(lambda array, like: jax.device_put(array, like.sharding), new, empty)
