"""A random key for each row of a batch that depends on the row's content only."""

import functools
import zlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PRNGKeyArray, UInt32


def text_number(tokens: Sequence[int] | np.ndarray) -> int:
    """Gives a number of 32 bits to a text, the same on every machine.

    Args:
        tokens: ids of the text.

    Returns:
        The CRC-32 of the ids as 32-bit integers, little-endian.

    Example:
        >>> text_number([3, 5]) == text_number([3, 5]) != text_number([5, 3])
        True
    """
    return zlib.crc32(np.asarray(tokens, "<i4").tobytes())


def row_keys(
    rng: PRNGKeyArray, numbers: UInt32[Array, "rows words"] | UInt32[np.ndarray, "rows words"]
) -> Key[Array, " rows"]:
    """Makes a random key for each row from the row's numbers, not from its place in the batch.

    Args:
        rng: random key of all rows.
        numbers: [rows, words], which identify a row, such as `text_number` and a sample's number.

    Returns:
        The keys [rows]; rows with the same numbers have the same key.

    Example:
        >>> keys = row_keys(jax.random.key(0), jnp.array([[3, 0], [5, 0], [3, 0]], jnp.uint32))
        >>> (keys[0] == keys[2]).item(), (keys[0] == keys[1]).item()
        (True, False)
    """
    return jax.vmap(lambda row: functools.reduce(jax.random.fold_in, row, rng))(
        jnp.asarray(numbers)
    )


def sample_keys(
    rng: PRNGKeyArray | Key[Array, " rows"], num_rows: int, num_samples: int
) -> Key[Array, "rows samples"]:
    """Makes a random key for each sample of each row.

    Args:
        rng: one random key, or a key for each row, as of `row_keys`.
        num_rows: rows of the batch.
        num_samples: samples of each row; the keys of the first ones do not depend on it.

    Returns:
        The keys [rows, samples].

    Example:
        >>> sample_keys(jax.random.key(0), 2, 3).shape
        (2, 3)
    """
    fold = jax.vmap(jax.random.fold_in, (None, 0))
    is_typed = jnp.issubdtype(rng.dtype, jax.dtypes.prng_key)
    keys = rng if is_typed and rng.ndim else fold(rng, jnp.arange(num_rows))
    return jax.vmap(fold, (0, None))(keys, jnp.arange(num_samples))
