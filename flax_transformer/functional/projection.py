"""Products with learned arrays: projections, embeddings, logits and convolutions."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flax_transformer.functional.array_types import (
    along_last_axes,
    at_least_float32,
    check_integers,
)
from flax_transformer.functional.attention import soft_cap
from flax_transformer.functional.kernels import with_kernel
from flax_transformer.functional.quantization import EightBitArray, multiply_eight_bits


@functools.partial(jax.jit, static_argnames="num_axes")
def project(
    inputs: Float[Array, "..."],
    kernel: Float[Array, "..."] | EightBitArray,
    num_axes: int = 1,
) -> Float[Array, "..."]:
    """Multiplies every vector by a matrix.

    output[b, o] = sum over i of inputs[b, i] kernel[i, o]

    Each of b, i and o stands for any number of axes. They are flattened, so that the product and
    both of its gradients are products of two matrices.

    Args:
        inputs: [*batch, *inputs], the vectors.
        kernel: [*inputs, *outputs]; rounded by `quantize`, it must have a scale for each output.
        num_axes: number of input axes of the kernel.

    Returns:
        [*batch, *outputs], in the type of the inputs.

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
    number = math.prod(outputs)
    if isinstance(kernel, EightBitArray):
        _check_scales(kernel, (*(1,) * num_axes, *outputs))
        scales = kernel.scales.reshape(1, number)
        product = multiply_eight_bits(flat, kernel.values.reshape(size, number), scales)
    else:
        product = multiply(flat, kernel.reshape(size, number))
    return product.reshape(math.prod(batch), *outputs).reshape(*batch, *outputs)


def project_as_dot_general(
    inputs: Array,
    kernel: Array | EightBitArray,
    dimension_numbers: Any,
    precision: None = None,
) -> Array:
    """Replaces `jax.lax.dot_general` in Flax's layers by `project`."""
    (axes, _), _ = dimension_numbers
    return project(inputs, kernel, num_axes=len(axes))


@with_kernel("product")
def multiply(inputs: Array, kernel: Array) -> Array:
    """Multiplies two matrices."""
    return inputs @ kernel


@jax.jit
def embed(
    tokens: Int[Array, "*batch"], table: Float[Array, "vocab d_model"] | EightBitArray
) -> Float[Array, "*batch d_model"]:
    """Looks up tokens in a table.

    table[token]

    The result and its gradient are those of `embed_one_hot`, without the products with zeros.

    Args:
        tokens: token ids in [0, vocab); any other gives NaN, never a wrong row.
        table: one row a token; rounded by `quantize`, it must have a scale for each row.

    Returns:
        The rows of the tokens.

    Raises:
        ValueError: if the table is not a matrix, or the tokens are not integers.

    Example:
        >>> table = jnp.array([[1.0, 2.0], [3.0, 4.0]])
        >>> embed(jnp.array([1]), table).tolist(), embed_one_hot(jnp.array([1]), table).tolist()
        ([[3.0, 4.0]], [[3.0, 4.0]])

    Reference:
        Vaswani et al. 2017, section 3.4.
    """
    _check(table)
    check_integers(tokens=tokens)

    def rows(table: Array) -> Array:
        return table.at[tokens].get(mode="fill", wrap_negative_indices=False)

    if isinstance(table, EightBitArray):
        return rows(table.values).astype(table.dtype) * rows(table.scales)
    return rows(table)


@jax.jit
def embed_one_hot(
    tokens: Int[Array, "*batch"], table: Float[Array, "vocab d_model"]
) -> Float[Array, "*batch d_model"]:
    """Multiplies one-hot vectors by a matrix: the definition of an embedding.

    one_hot(token) table,  one_hot(token)_k = [k = token]

    `embed` returns the same at the cost of one row instead of the whole matrix.

    Args:
        tokens: token ids in [0, vocab); any other gives zeros.
        table: one row a token.

    Returns:
        The products, which are the rows of the tokens.

    Raises:
        ValueError: if the table is not a matrix, or the tokens are not integers.

    Example:
        >>> embed_one_hot(jnp.array(1), jnp.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
        [3.0, 4.0]

    Reference:
        Vaswani et al. 2017, section 3.4.
    """
    _check(table)
    check_integers(tokens=tokens)
    one_hot = jax.nn.one_hot(tokens, table.shape[0], dtype=table.dtype)
    # By default, accelerators round the factors of a product. Rows must come out exactly.
    return jnp.matmul(one_hot, table, precision="highest")


@functools.partial(jax.jit, static_argnames="cap")
def token_logits(
    hidden: Float[Array, "*batch d_model"],
    table: Float[Array, "vocab d_model"] | EightBitArray,
    bias: Float[Array, " vocab"] | None = None,
    cap: float | None = None,
) -> Float[Array, "*batch vocab"]:
    """Computes the logits of all tokens of the vocabulary.

    hidden table^T + bias

    Args:
        hidden: one vector a position.
        table: one row a token: the embedding matrix, or a separate one; see `embed`.
        bias: added to the logits of each token.
        cap: soft cap of the logits, see `soft_cap`; none if None.

    Returns:
        The logits, float32 at least: in 16 bits, likely tokens would be indistinguishable.

    Raises:
        ValueError: if the table or the bias does not fit.

    Example:
        >>> token_logits(jnp.array([1.0, 2.0]), jnp.array([[1.0, 0.0], [3.0, 4.0]])).tolist()
        [1.0, 11.0]

    Reference:
        Vaswani et al. 2017, section 3.4.
    """
    _check(table)
    if hidden.shape[-1:] != table.shape[1:]:
        raise ValueError(f"hidden {hidden.shape} and table {table.shape} differ in d_model")
    wide = at_least_float32(hidden.dtype)
    # Two matrices: with more axes, jax 0.7.2 cannot multiply 16 bits into float32.
    flat = hidden.reshape(math.prod(hidden.shape[:-1]), hidden.shape[-1])
    if isinstance(table, EightBitArray):
        scales = table.scales.reshape(1, table.shape[0])
        logits = multiply_eight_bits(flat.astype(wide), table.values, scales, 1)
    else:
        logits = jnp.einsum("bd,vd->bv", flat, table, preferred_element_type=wide)
    if bias is not None:
        if bias.shape != table.shape[:1]:
            raise ValueError(f"bias {bias.shape} does not fit table {table.shape}")
        logits = logits + along_last_axes(bias.astype(wide), 2)
    if cap is not None:
        logits = soft_cap(logits, cap)
    return logits.reshape(*hidden.shape[:-1], table.shape[0])


def _check(table: Array | EightBitArray) -> None:
    if table.ndim != 2:
        raise ValueError(f"table {table.shape} must be a matrix [vocab, d_model]")
    if isinstance(table, EightBitArray):
        _check_scales(table, (table.shape[0], 1))


def _check_scales(array: EightBitArray, shape: tuple[int, ...]) -> None:
    if array.scales.shape != shape:
        raise ValueError(f"scales {array.scales.shape} of values {array.shape} must be {shape}")


@jax.jit
def convolve(
    inputs: Float[Array, "length features"],
    kernel: Float[Array, "width features outputs"],
    bias: Float[Array, " outputs"],
    segments: Int[Array, " length"] | None = None,
) -> Float[Array, "length outputs"]:
    """Convolves a sequence: sums each token and its neighbors, with one matrix for each offset.

    output[i] = bias + sum over j of inputs[i + j - (width - 1) // 2] kernel[j]

    Neighbors beyond the ends, in padding or in another segment count as zeros.

    Args:
        inputs: one vector a token.
        kernel: a matrix for each of `width` adjacent tokens, the first of them leftmost.
        bias: added everywhere.
        segments: number of the text of each token, from 1; 0 for padding; None if all belong to one
            text.

    Returns:
        One vector a token; at padding only the bias.

    Raises:
        ValueError: if the shapes do not fit each other.

    Example:
        >>> kernel = jnp.array([1.0, 10.0, 100.0]).reshape(3, 1, 1)
        >>> convolve(jnp.array([[1.0], [2.0], [3.0]]), kernel, jnp.zeros(1)).tolist()
        [[210.0], [321.0], [32.0]]

    Reference:
        Kim 2014, "Convolutional Neural Networks for Sentence Classification", equation 1; before a
        Transformer's layers, Hassani et al. 2021, "Escaping the Big Data Paradigm with Compact
        Transformers", section 3.2.
    """
    if inputs.shape[-1] != kernel.shape[1] or kernel.shape[2:] != bias.shape:
        raise ValueError(
            f"inputs {inputs.shape}, kernel {kernel.shape} and bias {bias.shape} must be "
            "(length, features), (width, features, outputs) and (outputs,)"
        )
    length, width = inputs.shape[0], kernel.shape[0]
    segments = jnp.ones(length, jnp.int32) if segments is None else segments
    if segments.shape != (length,):
        raise ValueError(f"segments {segments.shape} must be one for each of {length} tokens")
    check_integers(segments=segments)
    before = (width - 1) // 2
    ends = (before, width - 1 - before)
    padded, padded_segments = jnp.pad(inputs, (ends, (0, 0))), jnp.pad(segments, ends)

    def from_place(place: int) -> Array:
        is_near = (padded_segments[place : place + length] == segments) & (segments != 0)
        return jnp.where(is_near[:, None], padded[place : place + length], 0)

    # Each token with its neighbors: one product instead of one for each place.
    neighbors = jnp.stack([from_place(place) for place in range(width)], axis=1)
    return jnp.einsum("lwf,wfo->lo", neighbors, kernel) + along_last_axes(bias, 2)
