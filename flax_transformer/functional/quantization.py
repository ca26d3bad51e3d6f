"""Arrays of 8 bits with scales, and products with them."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int8

from flax_transformer.functional.array_types import at_least_float32, check_floats

LARGEST = 127  # of 8 bits with a sign; -128 is not used
# The low part of a number counts these parts of a step; it is at most LARGEST, as the high part.
PARTS_OF_STEP = 2 * LARGEST


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class EightBitArray:
    """An array of whole numbers of 8 bits, with a scale for each row or column.

    values scales

    `project`, `feed_forward`, `embed` and `token_logits` accept it as kernel or table, so that a
    module may hold it instead of a parameter.

    Attributes:
        values: int8, from -127 to 127.
        scales: positive; of the same rank as the values, with length 1 along the summed axes.
    """

    # Also shapes, shardings and whatever else JAX puts into a tree.
    values: Any
    scales: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the values."""
        return self.values.shape

    @property
    def ndim(self) -> int:
        """The number of axes of the values."""
        return self.values.ndim

    @property
    def dtype(self) -> jnp.dtype:
        """The type of the numbers that the array stands for."""
        return self.scales.dtype

    def __jax_array__(self) -> Array:
        """Returns the numbers that the array stands for."""
        return self.values.astype(self.dtype) * self.scales

    def astype(self, dtype: jax.typing.DTypeLike) -> "EightBitArray":
        """Converts the scales; the values keep their 8 bits."""
        return EightBitArray(self.values, self.scales.astype(dtype))


@functools.partial(jax.jit, static_argnames="axis")
def quantize(array: Float[Array, "..."], axis: int | tuple[int, ...] = 0) -> EightBitArray:
    """Rounds an array to 8 bits, with one scale for all numbers along the given axes.

    values = round(array / scales),  scales = max over axis of |array| / 127

    Args:
        array: a kernel [*inputs, *outputs] or a table [vocab, d_model].
        axis: the axes that products sum over: those of a kernel's inputs, the last one of a table.

    Returns:
        The rounded array. It differs from the given one by at most half a scale.

    Raises:
        ValueError: if the array is not of a floating type.

    Example:
        >>> rounded = quantize(jnp.array([[1.0, 0.0], [-127.0, 2.0]]))
        >>> rounded.values.tolist(), jnp.round(rounded.scales, 3).tolist()
        ([[1, 0], [-127, 127]], [[1.0, 0.01600000075995922]])

    Reference:
        Dettmers et al. 2022, "LLM.int8(): 8-bit Matrix Multiplication for Transformers at Scale",
        section 2 (a scale for each output).
    """
    check_floats(array=array)
    wide = array.astype(at_least_float32(array.dtype))
    scales = _step(wide, axis)
    return EightBitArray(jnp.round(wide / scales).astype(jnp.int8), scales)


def _step(array: Array, axis: int | tuple[int, ...]) -> Array:
    """Returns the unit in which the largest number along the axes is 127."""
    largest = jnp.max(jnp.abs(array), axis=axis, keepdims=True, initial=0)
    return jnp.where(largest == 0, 1, largest) / LARGEST


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def multiply_eight_bits(
    inputs: Float[Array, "rows size"],
    values: Int8[Array, "_ _"],
    scales: Float[Array, "1 outputs"],
    axis: int = 0,
) -> Float[Array, "rows outputs"]:
    """Multiplies vectors by a matrix of 8 bits, in products of 8 bits.

    x = step (high + low / 254),  step = max |x| / 127

    Each vector x becomes two vectors of 8-bit integers, with an error of at most step / 508.
    Both are rows of one product with sums of 32 bits. CPUs have instructions for it, and it reads a
    quarter of the bytes of a product in float32.

    Args:
        inputs: the vectors.
        values: [size, outputs], or [outputs, size] if the axis is 1.
        scales: of the outputs.
        axis: of the values, over which is summed.

    Returns:
        The products, in the type of the inputs.
    """
    wide = inputs.astype(at_least_float32(inputs.dtype))
    step = _step(wide, 1)
    in_steps = wide / step
    high = jnp.round(in_steps)
    low = jnp.round((in_steps - high) * PARTS_OF_STEP)
    sums = jax.lax.dot_general(
        jnp.concatenate([high, low]).astype(jnp.int8),
        values,
        (((1,), (axis,)), ((), ())),
        preferred_element_type=jnp.int32,
    )
    of_high, of_low = jnp.split(sums.astype(wide.dtype), 2)
    # The sums are multiplied once, because the step and the scales are those of rows and columns.
    product = (of_high + of_low / PARTS_OF_STEP) * step * scales.astype(wide.dtype)
    return product.astype(inputs.dtype)


@multiply_eight_bits.defjvp
def _refuse(axis: int, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    """Rejects gradients: rounding would make them zero everywhere."""
    raise ValueError("arrays of 8 bits have no gradients: take those of float32")
