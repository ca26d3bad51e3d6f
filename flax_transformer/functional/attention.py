"""Scaled dot-product attention: one example and one head, then lifted over heads and batch."""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from flax_transformer.functional.cudnn_attention import check_cudnn_request, cudnn_attend

AttentionImplementation = Literal["xla", "cudnn"]

# Scores of masked keys. Finite, so that a row without any allowed key gives no NaN.
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
        ValueError: if the shapes do not fit each other.

    Example:
        >>> query, key = jnp.array([[2.0, 0.0]]), jnp.eye(2)
        >>> mask = jnp.array([[True, False]])
        >>> attend(query, key, jnp.array([[3.0], [5.0]]), mask=mask).tolist()
        [[3.0]]

    Reference:
        Vaswani et al. 2017, "Attention Is All You Need", section 3.2.1, equation 1.
    """
    _check_shapes(query, key, value)
    _check_score_shapes(query.shape[:1] + key.shape[:1], mask=mask, bias=bias, dropout=dropout)
    # sqrt(head_dim) divides the query, the smaller operand of the two, instead of the scores.
    scaled = query * jnp.asarray(query.shape[-1] ** -0.5, query.dtype)
    scores = jnp.einsum("qd,kd->qk", scaled, key, preferred_element_type=_score_dtype(query))
    if bias is not None:
        scores = scores + bias
    if mask is not None:
        scores = jnp.where(mask, scores, _MASKED)
    weights = jax.nn.softmax(scores, axis=-1)
    if mask is not None:
        weights = jnp.where(mask, weights, 0.0)
    applied = weights if dropout is None else weights * dropout
    output = jnp.einsum("qk,kv->qv", applied.astype(value.dtype), value)
    return (output, weights) if return_weights else output


@functools.partial(jax.jit, static_argnames=("return_weights", "implementation"))
def multi_head_attend(
    query: Float[Array, "batch query_length heads head_dim"],
    key: Float[Array, "batch key_length key_value_heads head_dim"],
    value: Float[Array, "batch key_length key_value_heads value_dim"],
    *,
    mask: Bool[Array, "#batch #query_length #key_length"] | None = None,
    bias: Float[Array, "#batch heads query_length key_length"] | None = None,
    dropout: Float[Array, "batch heads query_length key_length"] | None = None,
    return_weights: bool = False,
    implementation: AttentionImplementation = "xla",
) -> (
    Float[Array, "batch query_length heads value_dim"]
    | tuple[
        Float[Array, "batch query_length heads value_dim"],
        Float[Array, "batch heads query_length key_length"],
    ]
):
    """Applies `attend` to every head of every example: `vmap` over heads, then over the batch.

    head_i = attend(query_i, key_j, value_j),  j = floor(i key_value_heads / heads)

    With as many heads of keys and values as of queries every head has its own; with fewer, groups
    of adjacent query heads share one; with one, all do.

    Args:
        query: queries of all heads.
        key: keys of all heads; their number divides that of the queries' heads.
        value: values of all heads.
        mask: True where a query may attend to a key, the same for all heads; axes of size 1
            broadcast.
        bias: added to the scaled scores; a batch of size 1 broadcasts.
        dropout: multiplier of the weights, see `attend`.
        return_weights: also return the weights.
        implementation: "xla", which is `attend` itself, or "cudnn", the fused kernel of NVIDIA's
            library: never holds the weights, 16 bits only.

    Returns:
        The heads' outputs side by side, and the weights if asked for.

    Raises:
        ValueError: if the shapes do not fit each other, or the implementation cannot do what is
            asked for.

    Example:
        >>> x = jnp.ones((2, 3, 4, 7))
        >>> output, weights = multi_head_attend(x, x[:, :, :2], x[:, :, :2], return_weights=True)
        >>> output.shape, weights.shape
        ((2, 3, 4, 7), (2, 4, 3, 3))

    Reference:
        Vaswani et al. 2017, section 3.2.2; Shazeer 2019 (one head of keys and values); Ainslie et
        al. 2023 (groups).
    """
    _check_shapes(query, key, value)
    _check_heads(query, key)
    weights_shape = (query.shape[0], query.shape[2], query.shape[1], key.shape[1])
    _check_weights_shape(weights_shape, bias=bias, dropout=dropout)
    if implementation == "cudnn":
        check_cudnn_request(query, value, dropout is not None, return_weights)
        return cudnn_attend(query, key, value, mask, bias)
    if implementation != "xla":
        raise ValueError(f"implementation {implementation!r} must be 'xla' or 'cudnn'")
    batch, heads, query_length, key_length = weights_shape
    groups = (key.shape[2], heads // key.shape[2])
    query = query.reshape(batch, query_length, *groups, -1)
    if mask is not None:
        if mask.ndim != 3:
            raise ValueError(f"mask {mask.shape} must be (batch, query_length, key_length)")
        mask = jnp.broadcast_to(mask, (batch, query_length, key_length))
    if bias is not None:
        bias = jnp.broadcast_to(bias, weights_shape)
        bias = bias.reshape(batch, *groups, query_length, key_length)
    if dropout is not None:
        dropout = dropout.reshape(batch, *groups, query_length, key_length)

    def one_head(query, key, value, bias, dropout, mask):
        return attend(
            query, key, value, mask=mask, bias=bias, dropout=dropout, return_weights=return_weights
        )

    # vmap passes None through any axis, so absent masks, biases and multipliers need no case.
    outputs = (1, 0) if return_weights else 1
    over_group = jax.vmap(one_head, (1, None, None, 0, 0, None), outputs)
    over_heads = jax.vmap(over_group, (1, 1, 1, 0, 0, None), outputs)
    over_batch = jax.vmap(over_heads)
    attended = over_batch(query, key, value, bias, dropout, mask)
    output = attended[0] if return_weights else attended
    output = output.reshape(batch, query_length, heads, value.shape[-1])
    return (output, attended[1].reshape(weights_shape)) if return_weights else output


def _score_dtype(query: Array) -> jnp.dtype:
    """Scores need float32 at least: in 16 bits the softmax of large scores loses its order."""
    return jnp.promote_types(query.dtype, jnp.float32)


def _check_shapes(query: Array, key: Array, value: Array) -> None:
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(f"query {query.shape} and key {key.shape} differ in head_dim")
    if key.shape[:-1] != value.shape[:-1]:
        raise ValueError(f"key {key.shape} and value {value.shape} differ in length or heads")


def _check_heads(query: Array, key: Array) -> None:
    if query.shape[0] != key.shape[0] or query.shape[2] % key.shape[2]:
        raise ValueError(
            f"query {query.shape} and key {key.shape} differ in batch, or the key's heads do not "
            "divide the query's"
        )


def _check_weights_shape(shape: tuple[int, ...], **arrays: Array | None) -> None:
    for name, array in arrays.items():
        if array is not None and array.shape not in (shape, (1, *shape[1:])):
            raise ValueError(
                f"{name} {array.shape} must be (batch, heads, query_length, key_length) = {shape}"
            )


def _check_score_shapes(shape: tuple[int, ...], **arrays: Array | None) -> None:
    for name, array in arrays.items():
        if array is not None and array.shape != shape:
            raise ValueError(f"{name} {array.shape} must be (query_length, key_length) = {shape}")
