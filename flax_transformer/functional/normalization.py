"""Normalization: of every vector by itself (layer, RMS), or of every feature over tokens (batch).

Statistics are computed in float32 at least. Results have the type of the inputs.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from flax_transformer.functional.array_types import (
    along_last_axes,
    at_least_float32,
    check_flags,
    check_floats,
)
from flax_transformer.functional.kernels import with_kernel


@functools.partial(jax.jit, static_argnames="epsilon")
def layer_norm(
    inputs: Float[Array, "*batch d_model"],
    scale: Float[Array, " d_model"],
    bias: Float[Array, " d_model"] | None = None,
    epsilon: float = 1e-6,
) -> Float[Array, "*batch d_model"]:
    """Normalizes every vector to mean 0 and variance 1, then applies a learned scale and bias.

    (x - mean(x)) / sqrt(variance(x) + epsilon) * scale + bias

    Args:
        inputs: vectors, each normalized by itself.
        scale: factor of each feature.
        bias: added to each feature; None adds nothing.
        epsilon: added to the variance, against division by zero.

    Returns:
        The normalized vectors.

    Raises:
        ValueError: if scale or bias do not fit the inputs, epsilon is negative, or the inputs are
            not floating.

    Example:
        >>> layer_norm(jnp.array([1.0, 3.0]), jnp.ones(2), jnp.zeros(2)).round(3).tolist()
        [-1.0, 1.0]

    Reference:
        Ba et al. 2016, "Layer Normalization", section 3.
    """
    _check(inputs, epsilon, scale=scale, bias=bias)
    wide = inputs.astype(at_least_float32(inputs.dtype))
    # Not mean(x^2) - mean(x)^2, which loses the variance of vectors far from zero.
    centered = wide - jnp.mean(wide, axis=-1, keepdims=True)
    scaled = to_unit_mean_square(centered, epsilon) * _along(wide, scale)[0]
    if bias is not None:
        scaled = scaled + _along(wide, bias)[0]
    return scaled.astype(inputs.dtype)


@functools.partial(jax.jit, static_argnames="epsilon")
def rms_norm(
    inputs: Float[Array, "*batch d_model"],
    scale: Float[Array, " d_model"],
    epsilon: float = 1e-6,
) -> Float[Array, "*batch d_model"]:
    """Normalizes every vector to a mean square of 1, then applies a learned scale.

    x / sqrt(mean(x^2) + epsilon) * scale

    Args:
        inputs: vectors, each normalized by itself.
        scale: factor of each feature.
        epsilon: added to the mean square, against division by zero.

    Returns:
        The normalized vectors.

    Raises:
        ValueError: if the scale does not fit the inputs, epsilon is negative, or the inputs are not
            floating.

    Example:
        >>> rms_norm(jnp.array([4.0, 0.0, 0.0, 0.0]), jnp.ones(4)).round(3).tolist()
        [2.0, 0.0, 0.0, 0.0]

    Reference:
        Zhang and Sennrich 2019, "Root Mean Square Layer Normalization", section 4.
    """
    _check(inputs, epsilon, scale=scale)
    wide = inputs.astype(at_least_float32(inputs.dtype))
    (scale,) = _along(wide, scale)
    return (to_unit_mean_square(wide, epsilon) * scale).astype(inputs.dtype)


@with_kernel("unit_mean_square")
def to_unit_mean_square(
    vectors: Float[Array, "*batch d_model"], epsilon: float
) -> Float[Array, "*batch d_model"]:
    """Divides each vector by sqrt(mean(x^2) + epsilon)."""
    return vectors * inverse_root_mean_square(vectors, epsilon)


def inverse_root_mean_square(
    vectors: Float[Array, "*batch d_model"], epsilon: float
) -> Float[Array, "*batch 1"]:
    """Returns 1 / sqrt(mean(x^2) + epsilon)."""
    return jax.lax.rsqrt(jnp.mean(jnp.square(vectors), axis=-1, keepdims=True) + epsilon)


def root_mean_square(
    vectors: Float[Array, "*batch d_model"], epsilon: float
) -> Float[Array, "*batch 1"]:
    """Returns sqrt(mean(x^2) + epsilon), by which layer and RMS normalization divide."""
    return jnp.sqrt(jnp.mean(jnp.square(vectors), axis=-1, keepdims=True) + epsilon)


@functools.partial(jax.jit, static_argnames="epsilon")
def batch_norm(
    inputs: Float[Array, "*batch d_model"],
    mean: Float[Array, " d_model"],
    variance: Float[Array, " d_model"],
    scale: Float[Array, " d_model"],
    bias: Float[Array, " d_model"],
    epsilon: float = 1e-6,
) -> Float[Array, "*batch d_model"]:
    """Normalizes every feature by given statistics, then applies a learned scale and bias.

    (x - mean) / sqrt(variance + epsilon) * scale + bias

    Args:
        inputs: vectors of any number of tokens.
        mean: of each feature: in training that of this batch, see `batch_statistics`; afterwards a
            running mean.
        variance: of each feature, from the same source as the mean.
        scale: factor of each feature.
        bias: added to each feature.
        epsilon: added to the variance, against division by zero.

    Returns:
        The normalized vectors.

    Raises:
        ValueError: if an argument does not fit the inputs, epsilon is negative, or the inputs are
            not floating.

    Example:
        >>> x = jnp.array([[1.0], [3.0]])
        >>> batch_norm(x, *batch_statistics(x), jnp.ones(1), jnp.zeros(1)).round(3).tolist()
        [[-1.0], [1.0]]

    Reference:
        Ioffe and Szegedy 2015, "Batch Normalization", section 3, algorithm 1.
    """
    _check(inputs, epsilon, mean=mean, variance=variance, scale=scale, bias=bias)
    wide = inputs.astype(at_least_float32(inputs.dtype))
    mean, variance, scale, bias = _along(wide, mean, variance, scale, bias)
    normalized = (wide - mean) * (jax.lax.rsqrt(variance + epsilon) * scale) + bias
    return normalized.astype(inputs.dtype)


@jax.jit
def batch_statistics(
    inputs: Float[Array, "*batch d_model"], is_token: Bool[Array, "*batch"] | None = None
) -> tuple[Float[Array, " d_model"], Float[Array, " d_model"]]:
    """Computes the mean and the variance of every feature over tokens; padding does not count.

    mean = sum(x) / n,  variance = sum((x - mean)^2) / n,  n = number of tokens

    Args:
        inputs: vectors of any number of tokens.
        is_token: False for padding; all are tokens if None.

    Returns:
        (mean, variance), float32 at least; both 0 without any token.

    Raises:
        ValueError: if is_token does not fit the inputs, or is not boolean.

    Example:
        >>> x, is_token = jnp.array([[1.0], [3.0], [9.0]]), jnp.array([True, True, False])
        >>> [statistic.tolist() for statistic in batch_statistics(x, is_token)]
        [[2.0], [1.0]]

    Reference:
        Ioffe and Szegedy 2015, section 3, algorithm 1.
    """
    if is_token is None:
        is_token = jnp.ones(inputs.shape[:-1], bool)
    check_flags(is_token=is_token)
    if is_token.shape != inputs.shape[:-1]:
        raise ValueError(f"is_token {is_token.shape} does not fit inputs {inputs.shape}")
    wide = inputs.astype(at_least_float32(inputs.dtype))
    axes = tuple(range(inputs.ndim - 1))
    count = jnp.maximum(jnp.sum(is_token), 1).astype(wide.dtype)

    def mean_over_tokens(x: Array) -> Array:
        # Not x * is_token: values at padding may be infinite.
        return jnp.sum(jnp.where(is_token[..., None], x, 0), axis=axes) / count

    mean = mean_over_tokens(wide)
    return mean, mean_over_tokens(jnp.square(wide - _along(wide, mean)[0]))


def _along(vectors: Array, *features: Array) -> list[Array]:
    """Converts arrays [d_model] to the type and the number of axes of the vectors."""
    return [along_last_axes(array.astype(vectors.dtype), vectors.ndim) for array in features]


def _check(inputs: Array, epsilon: float, **features: Array | None) -> None:
    check_floats(inputs=inputs)
    for name, array in features.items():
        if array is not None and array.shape != inputs.shape[-1:]:
            raise ValueError(f"{name} {array.shape} must have the width of inputs {inputs.shape}")
    if epsilon < 0:
        raise ValueError(f"epsilon must not be negative, but is {epsilon}")
