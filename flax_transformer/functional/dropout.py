"""Dropout: a multiplication by random zeros, and the random trials that it uses."""

import functools
import math

import jax
import jax.numpy as jnp
from jax.extend.random import threefry_2x32
from jaxtyping import Array, Bool, Float, PRNGKeyArray, UInt32

from flax_transformer.functional.kernels import with_kernel

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

    trial_i = [n_i >= threshold],  n_i the 16 bits number i mod 4 of block i div 4
    block_j = Threefry-2x32(key, (0, j)), two words of 32 bits, the low half of each first

    JAX makes its random bits from the same blocks, but folds each into 32 bits for one element;
    dropout needs only 16. If the key is not a Threefry key, JAX draws the bits.

    Args:
        rng: random key.
        threshold: from 0 (every trial succeeds) to 2^16 (no trial succeeds).
        shape: of the result, with fewer than 2^34 elements.

    Returns:
        Independent trials, each of which succeeds with probability 1 - threshold / 2^16.

    Raises:
        ValueError: if there are too many elements.

    Example:
        >>> trials = random_trials(jax.random.key(0), 2**14, (10_000,))
        >>> round(float(trials.mean()), 2)
        0.75

    Reference:
        Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3" (Threefry).
    """
    size = math.prod(shape)
    num_blocks = -(-size // _TRIALS)
    if num_blocks >= 2**32:
        raise ValueError(f"an array {shape} of {size:,} elements exceeds the 2^34 of the counter")
    if str(jax.random.key_impl(rng)) == "threefry2x32":
        packed = threefry_trials(jax.random.key_data(rng), threshold, num_blocks)
    else:
        bits = jax.random.bits(rng, (2, num_blocks), jnp.uint32)
        packed = pack(bits[0], bits[1], threshold)
    trials = jax.lax.bitcast_convert_type(packed, jnp.uint8).reshape(-1)
    return trials[:size].reshape(shape) != 0


@with_kernel("random_trials")
def threefry_trials(
    key: UInt32[Array, "2"], threshold: int, num_blocks: int
) -> UInt32[Array, " num_blocks"]:
    """Draws the trials of a key's blocks, four in a word, see `pack`."""
    counters = jnp.arange(num_blocks, dtype=jnp.uint32)
    words = threefry_2x32(key, jnp.concatenate([jnp.zeros_like(counters), counters]))
    return pack(words[:num_blocks], words[num_blocks:], threshold)


def pack(
    a: UInt32[Array, " blocks"], b: UInt32[Array, " blocks"], threshold: int
) -> UInt32[Array, " blocks"]:
    """Packs the four trials of each block into one word, a byte each."""
    numbers = (a & jnp.uint32(0xFFFF), a >> 16, b & jnp.uint32(0xFFFF), b >> 16)
    packed = jnp.zeros_like(a)
    for place, number in enumerate(numbers):
        packed |= (number >= jnp.uint32(threshold)).astype(jnp.uint32) << jnp.uint32(8 * place)
    return packed
