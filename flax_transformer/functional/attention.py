"""Scaled dot-product attention of one example and one head."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from flax_transformer.functional.argument_checks import check_floats, check_masks, check_numbers
from flax_transformer.functional.kernels.cpu import computed_once
from flax_transformer.functional.kernels.projection import sums_wide
from flax_transformer.functional.precision import at_least_float32

# Scores of masked keys. Finite, so that a row without any allowed key gives no NaN, not even on the
# way to its zeros, as the `where` of `jax.nn.softmax` does: `--debug-nans` would stop there.
_MASKED = -1e30


@functools.partial(jax.jit, static_argnames="return_weights")
def attend(
    query: Float[Array, "query_length head_dim"],
    key: Float[Array, "key_length head_dim"],
    value: Float[Array, "key_length value_dim"],
    *,
    mask: Bool[Array, "query_length key_length"] | None = None,
    bias: Float[Array, "query_length key_length"] | None = None,
    dropout: Float[Array, "query_length key_length"] | None = None,
    return_weights: bool = False,
) -> (
    Float[Array, "query_length value_dim"]
    | tuple[Float[Array, "query_length value_dim"], Float[Array, "query_length key_length"]]
):
    """Attends from every query position to the key positions, for one example and one head.

    softmax(query key^T / sqrt(head_dim) + bias) value

    The softmax is computed in float32 whatever the inputs are. Masked positions get a weight of
    exactly zero; a query that may attend to nothing gets zeros.

    Args:
        query: what each position looks for.
        key: what each position offers.
        value: what each position passes on; value_dim may differ from head_dim.
        mask: True where the query may attend to the key.
        bias: added to the scaled scores.
        dropout: multiplier of the weights, 0 or 1 / keep_rate, see `dropout_multiplier`.
        return_weights: also return the weights, as they are before dropout.

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
    if not query.ndim == key.ndim == value.ndim == 2:
        raise ValueError(
            f"query {query.shape}, key {key.shape} and value {value.shape} must be [length, "
            "head_dim] of one example and one head: vmap attend, or give multi_head_attend"
        )
    check_shapes(query, key, value)
    check_masks(mask=mask)
    check_numbers(bias=bias, dropout=dropout)
    _check_score_shapes(query.shape[:1] + key.shape[:1], mask=mask, bias=bias, dropout=dropout)
    # sqrt(head_dim) divides the query, the smaller operand of the two, instead of the scores.
    scaled = query * jnp.asarray(query.shape[-1] ** -0.5, query.dtype)
    # In 16 bits, large scores would become indistinguishable.
    score_dtype = at_least_float32(query.dtype)
    scores = jnp.einsum("qd,kd->qk", scaled, key, preferred_element_type=score_dtype)
    if bias is not None:
        scores = scores + bias.astype(score_dtype)
    weights = _masked_softmax(scores, mask)
    applied = weights if dropout is None else weights * dropout.astype(score_dtype)
    applied = applied.astype(value.dtype)
    sum_dtype = scores.dtype if sums_wide(value.dtype) else None
    output = jnp.einsum("qk,kv->qv", applied, value, preferred_element_type=sum_dtype)
    output = output.astype(value.dtype)
    return (output, weights) if return_weights else output


@jax.custom_jvp
def _masked_softmax(
    scores: Float[Array, "query_length key_length"],
    mask: Bool[Array, "query_length key_length"] | None,
) -> Float[Array, "query_length key_length"]:
    """The softmax over allowed keys; its derivative needs the weights, and nothing else."""
    if mask is None:
        return jax.nn.softmax(scores, axis=-1)
    weights = jax.nn.softmax(jnp.where(mask, scores, _MASKED), axis=-1)
    return jnp.where(mask, weights, 0.0)


@_masked_softmax.defjvp
def _masked_softmax_derivative(primals, tangents):
    """With w = softmax(s): dw = w (ds - sum(w ds)), 0 where a key is masked."""
    weights, tangent = computed_once(_masked_softmax(*primals)), tangents[0]
    return weights, weights * (tangent - jnp.sum(weights * tangent, axis=-1, keepdims=True))


def check_shapes(query: Array, key: Array, value: Array) -> None:
    """Refuses a query, key and value of one or several heads that do not fit each other."""
    check_floats(query=query, key=key, value=value)
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(f"query {query.shape} and key {key.shape} differ in head_dim")
    if key.shape[:-1] != value.shape[:-1]:
        raise ValueError(f"key {key.shape} and value {value.shape} differ in length or heads")


def _check_score_shapes(shape: tuple[int, ...], **arrays: Array | None) -> None:
    for name, array in arrays.items():
        if array is not None and array.shape != shape:
            raise ValueError(f"{name} {array.shape} must be (query_length, key_length) = {shape}")
