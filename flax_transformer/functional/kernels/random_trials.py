"""Random trials for dropout: four for each block of Threefry, in a form that XLA runs once."""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PRNGKeyArray, UInt32

# Constants of Threefry-2x32 with twenty rounds, as JAX has them.
_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_PARITY = 0x1BD11BDA
_NUM_ROUNDS = 20
_TRIALS = 4  # of a block: 64 bits, 16 each
_NUM_PARTS = 2

Words = UInt32[Array, " blocks"]


@functools.partial(jax.jit, static_argnames=("threshold", "shape"))
def random_trials(rng: PRNGKeyArray, threshold: int, shape: tuple[int, ...]) -> Bool[Array, "..."]:
    """Tells for every element whether 16 random bits of its own are at least a threshold.

    trial_i = [n_i >= threshold],  n_i the 16 bits number i mod 4 of block i div 4
    block_j = Threefry-2x32(key, (0, j)), two words of 32 bits, the low half of each first

    The blocks are those of which JAX makes its bits: it folds one into 32 bits, of which dropout
    would need far fewer. A key of another implementation than Threefry draws its bits by JAX.

    Args:
        rng: random key.
        threshold: from 0, where every trial succeeds, to 2^16, where none does.
        shape: of the result, of less than 2^34 elements.

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
        raise ValueError(
            f"an array {shape} of {size:,} elements has more than the counter can tell"
        )
    if str(jax.random.key_impl(rng)) == "threefry2x32":
        key = jax.random.key_data(rng)
        draw = functools.partial(_draw, threshold=threshold, num_blocks=num_blocks)
        packed = jax.lax.platform_dependent(
            key, cpu=functools.partial(draw, num_parts=_NUM_PARTS), default=draw
        )
    else:
        bits = jax.random.bits(rng, (2, num_blocks), jnp.uint32)
        packed = _pack(bits[0], bits[1], threshold)
    trials = jax.lax.bitcast_convert_type(packed, jnp.uint8).reshape(-1)
    return trials[:size].reshape(shape) != 0


def _draw(key: UInt32[Array, "2"], *, threshold: int, num_blocks: int, num_parts: int = 1) -> Words:
    """Draws the trials of some blocks, a byte each, four in a word.

    A CPU makes them in a loop of several parts: what comes out of a loop stands in memory, while
    XLA would otherwise repeat the whole block for each of the trials that are read from it.
    """
    size = -(-num_blocks // num_parts)

    def part(number: UInt32[Array, ""]) -> Words:
        counters = number * jnp.uint32(size) + jax.lax.iota(jnp.uint32, size)
        return _pack(*_threefry(key, counters), threshold)

    if num_parts == 1:
        return part(jnp.uint32(0))
    return jax.lax.map(part, jnp.arange(num_parts, dtype=jnp.uint32)).reshape(-1)[:num_blocks]


def _threefry(key: UInt32[Array, "2"], counters: Words) -> tuple[Words, Words]:
    first, second = key
    schedule = (first, second, first ^ second ^ jnp.uint32(_PARITY))
    a, b = jnp.full_like(counters, schedule[0]), counters + schedule[1]
    for number in range(_NUM_ROUNDS):
        a = a + b
        b = _rotate(b, _ROTATIONS[number % len(_ROTATIONS)]) ^ a
        if number % 4 == 3:
            injection = number // 4 + 1
            a = a + schedule[injection % 3]
            b = b + schedule[(injection + 1) % 3] + jnp.uint32(injection)
    return a, b


def _rotate(bits: Words, distance: int) -> Words:
    return (bits << jnp.uint32(distance)) | (bits >> jnp.uint32(32 - distance))


def _pack(a: Words, b: Words, threshold: int) -> Words:
    numbers = (a & jnp.uint32(0xFFFF), a >> 16, b & jnp.uint32(0xFFFF), b >> 16)
    packed = jnp.zeros_like(a)
    for place, number in enumerate(numbers):
        packed |= (number >= jnp.uint32(threshold)).astype(jnp.uint32) << jnp.uint32(8 * place)
    return packed
