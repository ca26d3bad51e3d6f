"""Writes of 16 bits into a cache."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from flax_transformer.functional.kernels import formula


def write(array: Array, block: Array, start: Int[Array, ""], axis: int) -> Array:
    """Writes a block in place; on a CPU 16 bits as whole numbers."""
    if array.dtype.itemsize != 2:
        return formula("cache_write")(array, block, start, axis)
    return _write_narrow(array, block, start, axis)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def _write_narrow(array: Array, block: Array, start: Int[Array, ""], axis: int) -> Array:
    """A CPU would widen the whole array to write numbers of 16 bits."""
    plain = functools.partial(formula("cache_write"), axis=axis)

    def as_whole_numbers(array: Array, block: Array, start: Int[Array, ""]) -> Array:
        bits, block_bits = (jax.lax.bitcast_convert_type(x, jnp.uint16) for x in (array, block))
        return jax.lax.bitcast_convert_type(plain(bits, block_bits, start), array.dtype)

    return jax.lax.platform_dependent(array, block, start, cpu=as_whole_numbers, default=plain)


@_write_narrow.defjvp
def _write_narrow_derivative(axis, primals, tangents):
    written = _write_narrow(*primals, axis)
    return written, formula("cache_write")(*tangents[:2], primals[2], axis)
