"""Products of vectors with learned matrices, in the form that a CPU does fastest."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from flax_transformer.functional.kernels.cpu import computed_once, is_cpu

_NARROW = (jnp.bfloat16, jnp.float16)


@functools.partial(jax.jit, static_argnames="num_axes")
def project(
    inputs: Float[Array, "..."], kernel: Float[Array, "..."], num_axes: int = 1
) -> Float[Array, "..."]:
    """Maps every vector by a matrix.

    output[b, o] = sum over i of inputs[b, i] kernel[i, o]

    Each of b, i and o stands for any number of axes. They are flattened, so that the product and
    both of its gradients are products of two matrices. On a CPU in 16 bits sums are float32,
    rounded once, in the gradients too; those are for reverse mode alone.

    Args:
        inputs: [*batch, *inputs], the vectors.
        kernel: [*inputs, *outputs].
        num_axes: how many axes the inputs of the kernel have.

    Returns:
        [*batch, *outputs], of the inputs' type.

    Raises:
        ValueError: if inputs and kernel do not fit.

    Example:
        >>> heads = project(jnp.ones((2, 5, 3)), jnp.ones((3, 4, 7)))
        >>> heads.shape, project(heads, jnp.ones((4, 7, 3)), num_axes=2).shape
        ((2, 5, 4, 7), (2, 5, 3))

    Reference:
        Vaswani et al. 2017, section 3.2.2 (the projections W_Q, W_K, W_V and W_O).
    """
    batch, summed = inputs.shape[: inputs.ndim - num_axes], kernel.shape[:num_axes]
    if not 1 <= num_axes <= inputs.ndim or inputs.shape[-num_axes:] != summed:
        raise ValueError(
            f"inputs {inputs.shape} must end in the first {num_axes} axes of kernel {kernel.shape}"
        )
    outputs, size = kernel.shape[num_axes:], math.prod(summed)
    # One group of axes at a time: JAX can then keep the batch on several devices.
    flat = inputs.reshape(*batch, size).reshape(math.prod(batch), size)
    product = _multiply(flat, kernel.reshape(size, math.prod(outputs)))
    return product.reshape(math.prod(batch), *outputs).reshape(*batch, *outputs)


def project_as_dot_general(
    inputs: Array, kernel: Array, dimension_numbers: Any, precision: None = None
) -> Array:
    """Does what `jax.lax.dot_general` does for Flax's layers, which multiply as `project` does."""
    (axes, _), _ = dimension_numbers
    return project(inputs, kernel, num_axes=len(axes))


def sums_wide(dtype: jnp.dtype) -> bool:
    """Whether products of a type should give float32: what a CPU has instructions of 16 bits for.

    Accelerators sum in float32 whatever they give, and give 16 bits with fewer bytes.
    """
    return dtype in _NARROW and is_cpu()


def _multiply(inputs: Array, kernel: Array) -> Array:
    if inputs.dtype == kernel.dtype and sums_wide(inputs.dtype):
        return _multiply_narrow(inputs, kernel)
    return inputs @ kernel


@jax.custom_vjp
def _multiply_narrow(inputs: Array, kernel: Array) -> Array:
    """The product of two matrices of 16 bits by a CPU's instructions for them.

    XLA takes them where two such matrices give float32. JAX's own gradient would be a product of
    float32 with 16 bits, for which it widens both: half as fast.
    """
    return _sum_wide(inputs, kernel).astype(inputs.dtype)


def _multiply_narrow_forward(inputs: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _multiply_narrow(inputs, kernel), (inputs, kernel)


def _multiply_narrow_backward(
    factors: tuple[Array, Array], cotangent: Array
) -> tuple[Array, Array]:
    inputs, kernel = factors
    by_inputs = jnp.einsum("bo,io->bi", cotangent, kernel, preferred_element_type=jnp.float32)
    by_kernel = _sum_wide(transposed_copy(inputs), cotangent)
    return by_inputs.astype(inputs.dtype), by_kernel.astype(kernel.dtype)


_multiply_narrow.defvjp(_multiply_narrow_forward, _multiply_narrow_backward)


def _sum_wide(a: Array, b: Array) -> Array:
    return jnp.dot(a, b, preferred_element_type=jnp.float32)


def transposed_copy(matrix: Array) -> Array:
    """Transposes in memory: what XLA's CPU folds into a product makes it slower than the copy."""
    return computed_once(matrix.T.ravel()).reshape(matrix.T.shape)
