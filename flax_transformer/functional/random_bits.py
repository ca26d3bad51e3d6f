"""Random bits for dropout: those of JAX, drawn in a form that XLA can fuse."""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, UInt32

# Constants of Threefry-2x32 with twenty rounds, as JAX has them.
_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_PARITY = 0x1BD11BDA
_NUM_ROUNDS = 20


@functools.partial(jax.jit, static_argnames="shape")
def random_bits(rng: PRNGKeyArray, shape: tuple[int, ...]) -> UInt32[Array, "..."]:
    """Draws 32 random bits for every element of an array.

    bits_i = a xor b,  (a, b) = Threefry-2x32(key, (0, i))

    These are the bits of `jax.random.bits`. On a CPU that makes them in a loop, from which XLA
    fuses nothing into what uses the bits; here the rounds stand one after the other. A key of
    another implementation than Threefry is left to JAX.

    Args:
        rng: random key.
        shape: of the result, of less than 2^32 elements.

    Returns:
        uint32, uniform and independent.

    Raises:
        ValueError: if there are too many elements.

    Example:
        >>> ours = random_bits(jax.random.key(3), (2, 5))
        >>> bool((ours == jax.random.bits(jax.random.key(3), (2, 5))).all())
        True

    Reference:
        Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3" (Threefry).
    """
    size = math.prod(shape)
    if size >= 2**32:
        raise ValueError(
            f"an array {shape} of {size:,} elements has more than the counter can tell"
        )
    if str(jax.random.key_impl(rng)) != "threefry2x32":
        return jax.random.bits(rng, shape, jnp.uint32)
    first, second = jax.random.key_data(rng)
    schedule = (first, second, first ^ second ^ jnp.uint32(_PARITY))
    a, b = schedule[0], jax.lax.iota(jnp.uint32, size).reshape(shape) + schedule[1]
    for number in range(_NUM_ROUNDS):
        a = a + b
        b = _rotate(b, _ROTATIONS[number % len(_ROTATIONS)]) ^ a
        if number % 4 == 3:
            injection = number // 4 + 1
            a = a + schedule[injection % 3]
            b = b + schedule[(injection + 1) % 3] + jnp.uint32(injection)
    return a ^ b


def _rotate(bits: Array, distance: int) -> Array:
    return (bits << jnp.uint32(distance)) | (bits >> jnp.uint32(32 - distance))
