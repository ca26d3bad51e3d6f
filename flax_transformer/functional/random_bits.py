"""Random bits for dropout: JAX's generator with fewer rounds, which XLA can fuse."""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, UInt32

# Rotations of the rounds, from Salmon et al. 2011, table 2 (Threefry-2x32).
_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
# The parity constant of the key schedule, from section 4.2 there.
_PARITY = 0x1BD11BDA


@functools.partial(jax.jit, static_argnames=("shape", "num_rounds"))
def random_bits(
    rng: PRNGKeyArray, shape: tuple[int, ...], num_rounds: int = 13
) -> UInt32[Array, "..."]:
    """Draws 32 random bits for every element of an array.

    bits_i = a xor b,  (a, b) = Threefry-2x32(key, (0, i))

    Thirteen rounds pass the tests of BigCrush. `jax.random.bits` makes twenty, which gives the bits
    of `num_rounds=20`; on a CPU it makes them in a loop, from which XLA fuses nothing into what
    uses the bits. A key of another implementation than Threefry is left to it.

    Args:
        rng: random key.
        shape: of the result, of less than 2^32 elements.
        num_rounds: rounds of Threefry; fewer than 13 are told from random by a test of BigCrush.

    Returns:
        uint32, uniform and independent.

    Raises:
        ValueError: if there are too many elements or no rounds.

    Example:
        >>> ours = random_bits(jax.random.key(3), (2, 5), num_rounds=20)
        >>> bool((ours == jax.random.bits(jax.random.key(3), (2, 5))).all())
        True

    Reference:
        Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3", sections 4.2 and 5.
    """
    size = math.prod(shape)
    if size >= 2**32:
        raise ValueError(
            f"an array {shape} of {size:,} elements has more than the counter can tell"
        )
    if num_rounds < 1:
        raise ValueError(f"num_rounds must be at least 1, not {num_rounds}")
    if str(jax.random.key_impl(rng)) != "threefry2x32":
        return jax.random.bits(rng, shape, jnp.uint32)
    first, second = jax.random.key_data(rng)
    schedule = (first, second, first ^ second ^ jnp.uint32(_PARITY))
    a, b = schedule[0], jax.lax.iota(jnp.uint32, size).reshape(shape) + schedule[1]
    for number in range(num_rounds):
        a = a + b
        b = _rotate(b, _ROTATIONS[number % len(_ROTATIONS)]) ^ a
        if number % 4 == 3:
            injection = number // 4 + 1
            a = a + schedule[injection % 3]
            b = b + schedule[(injection + 1) % 3] + jnp.uint32(injection)
    return a ^ b


def _rotate(bits: Array, distance: int) -> Array:
    return (bits << jnp.uint32(distance)) | (bits >> jnp.uint32(32 - distance))
