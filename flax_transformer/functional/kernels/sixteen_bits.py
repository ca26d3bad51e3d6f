"""Products and cache writes in 16 bits, for which a CPU has few instructions.

A CPU has instructions that multiply 16-bit factors and sum in float32. XLA uses them if the product
of two 16-bit arrays is float32. Accelerators always sum in float32, and write fewer bytes if the
result has 16 bits.
"""

import functools

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Int

from flax_transformer.functional.kernels import computed_once, formula

_NARROW = (jnp.bfloat16, jnp.float16)


def multiply(inputs: Array, kernel: Array) -> Array:
    """Multiplies two matrices; for float32, by the formula.

    A policy of rematerialization finds the product by the name "product".
    """
    is_narrow = inputs.dtype == kernel.dtype and inputs.dtype in _NARROW
    product: Array = (_multiply if is_narrow else formula("product"))(inputs, kernel)
    return checkpoint_name(product, "product")


@jax.custom_vjp
def _multiply(inputs: Array, kernel: Array) -> Array:
    """JAX's own gradient would have a float32 factor, and XLA would widen the other one too."""
    return jax.lax.platform_dependent(
        inputs,
        kernel,
        cpu=lambda a, b: _sum_wide(a, b).astype(a.dtype),
        default=formula("product"),
    )


def _multiply_backward(factors: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
    return jax.lax.platform_dependent(
        *factors, cotangent, cpu=_wide_gradients, default=_plain_gradients
    )


def _wide_gradients(inputs: Array, kernel: Array, cotangent: Array) -> tuple[Array, Array]:
    by_inputs = jnp.einsum("bo,io->bi", cotangent, kernel, preferred_element_type=jnp.float32)
    by_kernel = _sum_wide(transposed_copy(inputs), cotangent)
    return by_inputs.astype(inputs.dtype), by_kernel.astype(kernel.dtype)


def _plain_gradients(inputs: Array, kernel: Array, cotangent: Array) -> tuple[Array, Array]:
    return jax.vjp(formula("product"), inputs, kernel)[1](cotangent)


_multiply.defvjp(lambda *factors: (_multiply(*factors), factors), _multiply_backward)


def weighted_sum(weights: Array, value: Array) -> Array:
    """Sums the values by weights; for float32, by the formula."""
    plain = formula("weighted_sum")
    if value.dtype not in _NARROW:
        return plain(weights, value)
    return jax.lax.platform_dependent(weights, value, cpu=_weighted_sum, default=plain)


def _weighted_sum(weights: Array, value: Array) -> Array:
    sums = jnp.einsum("qk,kv->qv", weights, value, preferred_element_type=jnp.float32)
    return sums.astype(value.dtype)


def _sum_wide(a: Array, b: Array) -> Array:
    return jnp.dot(a, b, preferred_element_type=jnp.float32)


def transposed_copy(matrix: Array) -> Array:
    """Transposes in memory: folded into a product on a CPU, a transpose costs more than a copy."""
    return computed_once(matrix.T.ravel()).reshape(matrix.T.shape)


def write(array: Array, block: Array, start: Int[Array, ""], axis: int) -> Array:
    """Writes a block in place; on a CPU, 16-bit numbers are written as integers."""
    if array.dtype.itemsize != 2:
        return formula("cache_write")(array, block, start, axis)
    return _write_narrow(array, block, start, axis)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def _write_narrow(array: Array, block: Array, start: Int[Array, ""], axis: int) -> Array:
    """Writes integers on a CPU, which would widen the whole array to write 16-bit floats."""
    plain = functools.partial(formula("cache_write"), axis=axis)

    def as_whole_numbers(array: Array, block: Array, start: Int[Array, ""]) -> Array:
        bits, block_bits = (jax.lax.bitcast_convert_type(x, jnp.uint16) for x in (array, block))
        return jax.lax.bitcast_convert_type(plain(bits, block_bits, start), array.dtype)

    return jax.lax.platform_dependent(array, block, start, cpu=as_whole_numbers, default=plain)


@_write_narrow.defjvp
def _write_narrow_derivative(axis, primals, tangents):
    written = _write_narrow(*primals, axis)
    return written, formula("cache_write")(*tangents[:2], primals[2], axis)
