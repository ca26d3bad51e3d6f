"""Random keys that know which rows of a batch they draw for.

A batch may be computed in parts: on several devices, or as micro-batches. Each part then draws for
its rows what the whole batch would draw for them.
"""

import jax
import jax.numpy as jnp
from jax.extend.random import define_prng_impl
from jaxtyping import Array, Int, Key, PRNGKeyArray, UInt32

_THREEFRY = "threefry2x32"
_WORDS = 2  # of a Threefry key; after them come the first row, the stride and the number of rows


def _words(data: Array) -> PRNGKeyArray:
    return jax.random.wrap_key_data(data[..., :_WORDS], impl=_THREEFRY)


def _with_rows_of(data: Array, keys: Array) -> Array:
    """Adds the rows of a key to keys that were made from it."""
    rows = jnp.broadcast_to(data[_WORDS:], (*keys.shape, data.shape[0] - _WORDS))
    return jnp.concatenate([jax.random.key_data(keys), rows], axis=-1)


def _seed(seed: Array) -> Array:
    raise TypeError("a key of rows is made by of_rows, not from a seed")


def _bits(data: Array, bit_width: int, shape: tuple[int, ...]) -> Array:
    # Other draws of several parts must not be equal; `row_keys` makes them those of the rows.
    own = jax.random.fold_in(_words(data), data[_WORDS])
    return jax.random.bits(own, shape, f"uint{bit_width}")


_ROW_KEY = define_prng_impl(
    key_shape=(_WORDS + 3,),
    seed=_seed,
    split=lambda data, shape: _with_rows_of(data, jax.random.split(_words(data), shape)),
    random_bits=_bits,
    fold_in=lambda data, number: _with_rows_of(data, jax.random.fold_in(_words(data), number)),
    name="threefry2x32 of rows",
    tag="rows",
)


def of_rows(
    rng: PRNGKeyArray,
    first: int | Int[Array, ""],
    stride: int | Int[Array, ""],
    number: int | Int[Array, ""],
) -> PRNGKeyArray:
    """Makes a key that draws for some rows of a batch, as it would for the whole batch.

    rows = first, first + stride, ..., first + (number - 1) stride

    Keys split off or folded are of the same rows, so the key can be given to a model in `rngs`.

    Args:
        rng: random key of the whole batch. If it is not a Threefry key, the first row is folded
            into it, and parts draw other numbers than the whole.
        first: the first row of the part.
        stride: distance of two rows.
        number: rows of the part.

    Returns:
        The key for `dropout_multiplier`, `random_trials` and `row_keys`.

    Example:
        >>> from flax_transformer.functional.dropout import random_trials
        >>> rng = jax.random.key(0)
        >>> whole = random_trials(rng, 2**15, (6, 50))
        >>> part = random_trials(of_rows(rng, 1, 2, 3), 2**15, (3, 50))
        >>> bool((part == whole[1::2]).all())
        True
    """
    if str(jax.random.key_impl(rng)) != _THREEFRY:
        return jax.random.fold_in(rng, first)
    rows = jnp.stack([jnp.asarray(value, jnp.uint32) for value in (first, stride, number)])
    return jax.random.wrap_key_data(
        jnp.concatenate([jax.random.key_data(rng), rows]), impl=_ROW_KEY
    )


def rows_of(rng: PRNGKeyArray, number: int) -> tuple[PRNGKeyArray, UInt32[Array, " number"]]:
    """Returns the key of the whole batch, and the numbers of the rows for which a key draws.

    Args:
        rng: key of the whole batch, or from `of_rows`.
        number: rows to draw for. It may be a multiple of the key's rows: each row then stands for
            several adjacent ones, as the frames of a video do.

    Example:
        >>> rows_of(of_rows(jax.random.key(0), 3, 2, 2), 4)[1].tolist()
        [6, 7, 10, 11]
    """
    rows = jnp.arange(number, dtype=jnp.uint32)
    data = jax.random.key_data(rng)
    if data.shape != (_WORDS + 3,):
        return rng, rows
    first, stride, size = data[_WORDS:]
    parts = jnp.maximum(jnp.uint32(number) // jnp.maximum(size, 1), 1)
    return _words(data), (first + stride * (rows // parts)) * parts + rows % parts


def row_keys(rng: PRNGKeyArray, number: int) -> Key[Array, " number"]:
    """Makes a key for each row.

    key_i = fold_in(rng, row_i)

    Args:
        rng: see `rows_of`.
        number: see `rows_of`.

    Returns:
        One key a row, to be used under `vmap`.

    Example:
        >>> rng = jax.random.key(0)
        >>> keys, part = row_keys(rng, 5), row_keys(of_rows(rng, 3, 1, 2), 2)
        >>> bool((keys[3:] == part).all())
        True
    """
    key, rows = rows_of(rng, number)
    return jax.vmap(jax.random.fold_in, (None, 0))(key, rows)
