"""Dropout: a multiplication by random zeros, and the random trials that it uses."""

import functools
import math

import jax
import jax.numpy as jnp
from jax.extend.random import threefry_2x32
from jaxtyping import Array, Bool, Float, PRNGKeyArray, UInt32

from flax_transformer.functional.kernels import with_kernel
from flax_transformer.functional.row_keys import rows_of

_TRIALS = 4  # in a block: 64 bits, 16 each


@functools.partial(jax.jit, static_argnames=("rate", "shape"))
def dropout_multiplier(
    dropout_rng: PRNGKeyArray, rate: float, shape: tuple[int, ...]
) -> Float[Array, "..."]:
    """Draws the factors of dropout: 0 with probability `rate`, else 1 / (1 - rate).

    factor = [u >= rate] / (1 - rate),  u uniform in [0, 1)

    Args:
        dropout_rng: random key.
        rate: share of elements to drop, in [0, 1), rounded to a multiple of 2^-16; the scale uses
            the rounded rate, so that the expected factor is exactly 1.
        shape: shape of the factors.

    Returns:
        float32 factors.

    Raises:
        ValueError: if the rate is outside [0, 1).

    Example:
        >>> factors = dropout_multiplier(jax.random.key(0), 0.5, (1000,))
        >>> sorted(set(factors.tolist()))
        [0.0, 2.0]

    Reference:
        Srivastava et al. 2014; Vaswani et al. 2017, section 5.4.
    """
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"a dropout rate must be in [0, 1), not {rate}")
    dropped = min(round(rate * 2**16), 2**16 - 1)
    is_kept = random_trials(dropout_rng, dropped, shape)
    return jnp.where(is_kept, jnp.float32(2**16 / (2**16 - dropped)), 0.0)


@functools.partial(jax.jit, static_argnames=("threshold", "shape"))
def random_trials(rng: PRNGKeyArray, threshold: int, shape: tuple[int, ...]) -> Bool[Array, "..."]:
    """Draws independent trials, of 16 random bits each.

    trial_ri = [n_ri >= threshold],  n_ri the 16 bits number i mod 4 of block i div 4 of row r
    block_rj = Threefry-2x32(key, (r, j)), two words of 32 bits, the low half of each first

    The first axis is that of rows r, and i counts the elements of a row. So a part of a batch draws
    what the whole batch draws, if its key is made by `of_rows`.

    JAX makes its random bits from such blocks too, but folds each into 32 bits for one element;
    dropout needs only 16. If the key is not a Threefry key, JAX draws the bits.

    Args:
        rng: random key.
        threshold: from 0 (every trial succeeds) to 2^16 (no trial succeeds).
        shape: of the result, with fewer than 2^34 elements a row.

    Returns:
        Independent trials, each of which succeeds with probability 1 - threshold / 2^16.

    Raises:
        ValueError: if there are too many elements.

    Example:
        >>> trials = random_trials(jax.random.key(0), 2**14, (10, 1000))
        >>> round(float(trials.mean()), 2)
        0.75

    Reference:
        Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3" (Threefry).
    """
    num_rows, size = (shape[0] if shape else 1), math.prod(shape[1:])
    num_blocks = -(-size // _TRIALS)
    if num_blocks >= 2**32:
        raise ValueError(f"a row of {shape} has {size:,} elements, more than the counter's 2^34")
    key, rows = rows_of(rng, num_rows)
    if str(jax.random.key_impl(key)) == "threefry2x32":
        packed = threefry_trials(jax.random.key_data(key), rows, threshold, num_blocks)
    else:
        bits = jax.random.bits(key, (2, num_rows, num_blocks), jnp.uint32)
        packed = pack(bits[0], bits[1], threshold)
    trials = jax.lax.bitcast_convert_type(packed, jnp.uint8).reshape(num_rows, num_blocks * _TRIALS)
    return trials[:, :size].reshape(shape) != 0


@with_kernel("random_trials")
def threefry_trials(
    key: UInt32[Array, "2"], rows: UInt32[Array, " rows"], threshold: int, num_blocks: int
) -> UInt32[Array, "rows num_blocks"]:
    """Draws the trials of the blocks of some rows, four in a word, see `pack`."""
    blocks = jnp.arange(num_blocks, dtype=jnp.uint32)
    row_counters, counters = jnp.meshgrid(rows, blocks, indexing="ij")
    words = threefry_2x32(key, jnp.concatenate([row_counters.ravel(), counters.ravel()]))
    a, b = jnp.split(words, 2)
    return pack(a, b, threshold).reshape(row_counters.shape)


def pack(
    a: UInt32[Array, "*blocks"], b: UInt32[Array, "*blocks"], threshold: int
) -> UInt32[Array, "*blocks"]:
    """Packs the four trials of each block into one word, a byte each."""
    numbers = (a & jnp.uint32(0xFFFF), a >> 16, b & jnp.uint32(0xFFFF), b >> 16)
    packed = jnp.zeros_like(a)
    for place, number in enumerate(numbers):
        packed |= (number >= jnp.uint32(threshold)).astype(jnp.uint32) << jnp.uint32(8 * place)
    return packed
