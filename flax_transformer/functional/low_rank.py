"""Low-rank adaptation: a kernel plus the product of two narrow matrices."""

import functools
import math

import jax
from jaxtyping import Array, Float


@functools.partial(jax.jit, static_argnames="scale")
def add_low_rank(
    kernel: Float[Array, "..."],
    down: Float[Array, "..."],
    up: Float[Array, "..."],
    *,
    scale: float = 1.0,
) -> Float[Array, "..."]:
    """Adds a product of low rank to a kernel.

    output[i, o] = kernel[i, o] + scale * (sum over r of down[i, r] up[r, o])

    Each of i and o stands for any number of axes, which are flattened. If `up` is zero, as at the
    beginning of a training, the result is the kernel.

    Args:
        kernel: [*inputs, *outputs].
        down: [*inputs, rank], from the inputs to a few numbers.
        up: [rank, *outputs], from these numbers to the outputs.
        scale: factor of the product, alpha / rank in the paper.

    Returns:
        [*inputs, *outputs], in the type of the kernel.

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> ones = jax.numpy.ones
        >>> changed = add_low_rank(ones((5, 2, 3)), ones((5, 7)), ones((7, 2, 3)), scale=0.5)
        >>> changed.shape, float(changed[0, 0, 0])
        ((5, 2, 3), 4.5)

    Reference:
        Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", section 4.1.
    """
    inputs, outputs = down.shape[:-1], up.shape[1:]
    if kernel.shape != (*inputs, *outputs) or down.shape[-1:] != up.shape[:1] or not inputs:
        raise ValueError(
            f"down {down.shape} and up {up.shape} must be (*inputs, rank) and (rank, *outputs) of "
            f"kernel {kernel.shape}"
        )
    rank = up.shape[0]
    product = down.reshape(math.prod(inputs), rank) @ up.reshape(rank, math.prod(outputs))
    return kernel + (scale * product).reshape(kernel.shape).astype(kernel.dtype)
