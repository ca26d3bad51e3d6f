"""Convolution over the tokens of one sequence, which mixes each with its neighbors."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flax_transformer.functional.array_types import along_last_axes, check_integers


@jax.jit
def convolve(
    inputs: Float[Array, "length features"],
    kernel: Float[Array, "width features outputs"],
    bias: Float[Array, " outputs"],
    segments: Int[Array, " length"] | None = None,
) -> Float[Array, "length outputs"]:
    """Makes one vector of each token and its neighbors, a matrix for each place beside it.

    output[i] = bias + sum over j of inputs[i + j - (width - 1) // 2] kernel[j]

    Neighbors beyond the ends, in padding or in another segment count as zeros.

    Args:
        inputs: one vector a token.
        kernel: a matrix for each of `width` adjacent tokens, the first of them leftmost.
        bias: added everywhere.
        segments: number from 1 of the text that each token belongs to, 0 for padding; None where
            all belong to one.

    Returns:
        One vector a token; at padding the bias alone.

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

    # Each token beside its neighbors: one product in place of one for each place.
    neighbors = jnp.stack([from_place(place) for place in range(width)], axis=1)
    return jnp.einsum("lwf,wfo->lo", neighbors, kernel) + along_last_axes(bias, 2)
