"""Scaled dot-product attention of one example and one head."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from flax_transformer.functional.array_types import (
    at_least_float32,
    check_floats,
    check_masks,
    check_numbers,
)
from flax_transformer.functional.kernels import with_kernel

# Scores of masked keys. Finite rather than -inf: the softmax of a row without any allowed key would
# be NaN before it becomes 0, which jax_debug_nans reports.
_MASKED = -1e30


@functools.partial(jax.jit, static_argnames=("scale", "cap", "return_weights"))
def attend(
    query: Float[Array, "query_length head_dim"],
    key: Float[Array, "key_length head_dim"],
    value: Float[Array, "key_length value_dim"],
    *,
    mask: Bool[Array, "query_length key_length"] | None = None,
    bias: Float[Array, "query_length key_length"] | None = None,
    dropout: Float[Array, "query_length key_length"] | None = None,
    scale: float | None = None,
    cap: float | None = None,
    return_weights: bool = False,
) -> (
    Float[Array, "query_length value_dim"]
    | tuple[Float[Array, "query_length value_dim"], Float[Array, "query_length key_length"]]
):
    """Attends from every query position to the key positions, for one example and one head.

    softmax(query key^T / sqrt(head_dim) + bias) value

    Args:
        query: what each position looks for.
        key: what each position offers.
        value: what each position passes on; value_dim may differ from head_dim.
        mask: True where the query may attend to the key.
        bias: added to the scaled scores.
        dropout: multiplier of the weights, 0 or 1 / keep_rate, see `dropout_multiplier`.
        scale: factor of the scores; 1 / sqrt(head_dim) if None.
        cap: soft cap of the scaled scores, see `soft_cap`; none if None.
        return_weights: also return the weights before dropout.

    Returns:
        The weighted sum of the values, and the weights if asked for.

    Raises:
        ValueError: if the shapes do not fit each other, the mask is not boolean, or query, key or
            value is not of a floating type.

    Example:
        >>> query, key = jnp.array([[2.0, 0.0]]), jnp.eye(2)
        >>> mask = jnp.array([[True, False]])
        >>> attend(query, key, jnp.array([[3.0], [5.0]]), mask=mask).tolist()
        [[3.0]]

    Reference:
        Vaswani et al. 2017, "Attention Is All You Need", section 3.2.1, equation 1.
    """
    check_shapes(query, key, value)
    scores = attention_scores(query, key, bias=bias, scale=scale, cap=cap)
    weights = attention_weights(scores, mask)
    output = weighted_values(weights, value, dropout=dropout)
    return (output, weights) if return_weights else output


@functools.partial(jax.jit, static_argnames=("scale", "cap"))
def attention_scores(
    query: Float[Array, "query_length head_dim"],
    key: Float[Array, "key_length head_dim"],
    *,
    bias: Float[Array, "query_length key_length"] | None = None,
    scale: float | None = None,
    cap: float | None = None,
) -> Float[Array, "query_length key_length"]:
    """Scores every key for every query, for one example and one head.

    query key^T / sqrt(head_dim) + bias

    Args:
        query: what each position looks for.
        key: what each position offers.
        bias: added to the scaled scores.
        scale: factor of the scores; 1 / sqrt(head_dim) if None.
        cap: soft cap of the scaled scores, before the bias, see `soft_cap`; none if None.

    Returns:
        The scores, float32 at least: in 16 bits, large scores would be indistinguishable.

    Raises:
        ValueError: if the shapes do not fit each other, or query or key is not of a floating type.

    Example:
        >>> attention_scores(jnp.array([[2.0, 0.0]]), jnp.eye(2), scale=1.0).tolist()
        [[2.0, 0.0]]

    Reference:
        Vaswani et al. 2017, section 3.2.1, equation 1.
    """
    check_shapes(query, key)
    _check_rank(query=query, key=key)
    check_numbers(bias=bias)
    # The scale is applied to the query, which is smaller than the scores.
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    scaled = query * jnp.asarray(factor, query.dtype)
    wide = at_least_float32(query.dtype)
    scores = jnp.einsum("qd,kd->qk", scaled, key, preferred_element_type=wide)
    if cap is not None:
        scores = soft_cap(scores, cap)
    _check_shape("bias", bias, scores.shape)
    return scores if bias is None else scores + bias.astype(wide)


@jax.jit
def attention_weights(
    scores: Float[Array, "query_length key_length"],
    mask: Bool[Array, "query_length key_length"] | None = None,
) -> Float[Array, "query_length key_length"]:
    """Turns the scores of each query into weights that sum to 1.

    softmax(scores)

    Args:
        scores: of every key for every query.
        mask: True where the query may attend to the key.

    Returns:
        The weights. They are exactly 0 where the query may not attend, so all are 0 for a query
        that may attend to nothing.

    Raises:
        ValueError: if the mask is not boolean or has another shape than the scores.

    Example:
        >>> scores, mask = jnp.array([[7.0, 7.0, 9.0]]), jnp.array([[True, True, False]])
        >>> attention_weights(scores, mask).tolist()
        [[0.5, 0.5, 0.0]]

    Reference:
        Vaswani et al. 2017, section 3.2.1, equation 1.
    """
    check_masks(mask=mask)
    _check_shape("mask", mask, scores.shape)
    return masked_softmax(scores, mask)


@jax.jit
def weighted_values(
    weights: Float[Array, "query_length key_length"],
    value: Float[Array, "key_length value_dim"],
    *,
    dropout: Float[Array, "query_length key_length"] | None = None,
) -> Float[Array, "query_length value_dim"]:
    """Sums the values of the keys by the weights of each query.

    (dropout * weights) value

    Args:
        weights: of every key for every query.
        value: what each key passes on.
        dropout: multiplier of the weights, 0 or 1 / keep_rate, see `dropout_multiplier`.

    Returns:
        The sums, in the type of the values.

    Raises:
        ValueError: if the shapes do not fit each other, or the values are not of a floating type.

    Example:
        >>> weighted_values(jnp.array([[0.5, 0.5]]), jnp.array([[3.0], [5.0]])).tolist()
        [[4.0]]

    Reference:
        Vaswani et al. 2017, section 3.2.1, equation 1; section 5.4 (dropout).
    """
    check_floats(value=value)
    _check_rank(weights=weights, value=value)
    check_numbers(dropout=dropout)
    _check_shape("dropout", dropout, weights.shape)
    if weights.shape[1] != value.shape[0]:
        raise ValueError(f"weights {weights.shape} and value {value.shape} differ in key_length")
    if dropout is not None:
        weights = weights * dropout.astype(weights.dtype)
    return weighted_sum(weights.astype(value.dtype), value)


@functools.partial(jax.jit, static_argnames="cap")
def soft_cap(x: Float[Array, "*shape"], cap: float) -> Float[Array, "*shape"]:
    """Limits numbers to the range from -cap to cap, and leaves small ones nearly unchanged.

    cap tanh(x / cap)

    Args:
        x: scores of attention, or logits.
        cap: the bound.

    Returns:
        The bounded numbers.

    Raises:
        ValueError: if the cap is not positive.

    Example:
        >>> soft_cap(jnp.array([0.01, 1000.0]), 50.0).round(2).tolist()
        [0.009999999776482582, 50.0]

    Reference:
        Gemma Team 2024, "Gemma 2", section 2 (logit soft-capping).
    """
    if cap <= 0:
        raise ValueError(f"cap must be positive, not {cap}")
    return cap * jnp.tanh(x / cap)


@with_kernel("softmax")
def masked_softmax(
    scores: Float[Array, "query_length key_length"],
    mask: Bool[Array, "query_length key_length"] | None,
) -> Float[Array, "query_length key_length"]:
    """Computes the softmax over allowed keys."""
    if mask is None:
        return jax.nn.softmax(scores, axis=-1)
    weights = jax.nn.softmax(jnp.where(mask, scores, _MASKED), axis=-1)
    return jnp.where(mask, weights, 0.0)


@with_kernel("weighted_sum")
def weighted_sum(
    weights: Float[Array, "query_length key_length"], value: Float[Array, "key_length value_dim"]
) -> Float[Array, "query_length value_dim"]:
    """Sums the values by weights of the same type."""
    return jnp.einsum("qk,kv->qv", weights, value)


def check_shapes(query: Array, key: Array, value: Array | None = None) -> None:
    """Rejects a query, key and value of one or several heads that do not fit each other."""
    check_floats(query=query, key=key, value=value)
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(f"query {query.shape} and key {key.shape} differ in head_dim")
    if value is not None and key.shape[:-1] != value.shape[:-1]:
        raise ValueError(f"key {key.shape} and value {value.shape} differ in length or heads")


def _check_rank(**arrays: Array) -> None:
    for name, array in arrays.items():
        if array.ndim != 2:
            raise ValueError(
                f"{name} {array.shape} must have two axes, of one example and one head: vmap "
                "attend, or give multi_head_attend"
            )


def _check_shape(name: str, array: Array | None, shape: tuple[int, ...]) -> None:
    if array is not None and array.shape != shape:
        raise ValueError(f"{name} {array.shape} must be (query_length, key_length) = {shape}")
