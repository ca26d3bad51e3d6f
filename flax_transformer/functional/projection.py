"""Products of vectors with learned matrices."""

import functools
import math
from typing import Any

import jax
from jaxtyping import Array, Float

from flax_transformer.functional.kernels import with_kernel


@functools.partial(jax.jit, static_argnames="num_axes")
def project(
    inputs: Float[Array, "..."], kernel: Float[Array, "..."], num_axes: int = 1
) -> Float[Array, "..."]:
    """Maps every vector by a matrix.

    output[b, o] = sum over i of inputs[b, i] kernel[i, o]

    Each of b, i and o stands for any number of axes. They are flattened, so that the product and
    both of its gradients are products of two matrices.

    Args:
        inputs: [*batch, *inputs], the vectors.
        kernel: [*inputs, *outputs].
        num_axes: how many axes the inputs of the kernel have.

    Returns:
        [*batch, *outputs], of the inputs' type.

    Raises:
        ValueError: if inputs and kernel do not fit.

    Example:
        >>> ones = jax.numpy.ones
        >>> heads = project(ones((2, 5, 3)), ones((3, 4, 7)))
        >>> heads.shape, project(heads, ones((4, 7, 3)), num_axes=2).shape
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
    product = multiply(flat, kernel.reshape(size, math.prod(outputs)))
    return product.reshape(math.prod(batch), *outputs).reshape(*batch, *outputs)


def project_as_dot_general(
    inputs: Array, kernel: Array, dimension_numbers: Any, precision: None = None
) -> Array:
    """Does what `jax.lax.dot_general` does for Flax's layers, which multiply as `project` does."""
    (axes, _), _ = dimension_numbers
    return project(inputs, kernel, num_axes=len(axes))


@with_kernel("product")
def multiply(inputs: Array, kernel: Array) -> Array:
    """The product of two matrices."""
    return inputs @ kernel
