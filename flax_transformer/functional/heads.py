"""Attention of one head lifted over all heads of all examples, in one of several ways."""

import functools
from typing import Any, Literal, get_args

import jax
from jaxtyping import Array, Bool, Float

from flax_transformer.functional.argument_checks import check_masks, check_numbers
from flax_transformer.functional.attention import attend, check_shapes
from flax_transformer.functional.grouped_heads import GroupedHeads, group_heads
from flax_transformer.functional.kernels.blockwise_attention import attend_in_blocks, blocks_pay
from flax_transformer.functional.kernels.cudnn_attention import (
    USE_AUTO,
    check_cudnn_request,
    cudnn_attend,
)

AttentionImplementation = Literal["auto", "xla", "blockwise", "cudnn"]


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
    implementation: AttentionImplementation = "auto",
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
        implementation: "xla", which is `attend` of all heads at once; "blockwise", which attends
            a block of queries after the other and never holds all weights; "auto", the first of
            these two, or the second where there are very many scores; "cudnn", the fused kernel of
            NVIDIA's library: never holds the weights, 16 bits only.

    Returns:
        The heads' outputs side by side, and the weights if asked for.

    Raises:
        ValueError: if the shapes do not fit each other, the mask is not boolean, or the
            implementation cannot do what is asked for.

    Example:
        >>> x = jax.numpy.ones((2, 3, 4, 7))
        >>> output, weights = multi_head_attend(x, x[:, :, :2], x[:, :, :2], return_weights=True)
        >>> output.shape, weights.shape
        ((2, 3, 4, 7), (2, 4, 3, 3))

    Reference:
        Vaswani et al. 2017, section 3.2.2; Shazeer 2019 (one head of keys and values); Ainslie et
        al. 2023 (groups).
    """
    check_shapes(query, key, value)
    check_masks(mask=mask)
    check_numbers(bias=bias, dropout=dropout)
    heads = group_heads(query, key, value, mask, bias, dropout)
    if implementation == "auto":
        is_large = not return_weights and blocks_pay(heads)
        implementation = "blockwise" if is_large else "xla"
    weights = None
    if implementation == "xla":
        output, weights = _attend_at_once(heads, return_weights)
    elif implementation == "blockwise":
        if return_weights:
            raise ValueError(f"blockwise attention never holds all weights: {USE_AUTO}")
        output = attend_in_blocks(heads)
    elif implementation == "cudnn":
        check_cudnn_request(query, value, dropout is not None, return_weights)
        output = cudnn_attend(query, key, value, mask, bias)
    else:
        choices = ", ".join(map(repr, get_args(AttentionImplementation)))
        raise ValueError(f"implementation {implementation!r} must be one of {choices}")
    output = output.reshape(*query.shape[:3], value.shape[-1])
    if weights is None:
        return output
    return output, weights.reshape(weights.shape[0], query.shape[2], *weights.shape[3:])


def _attend_at_once(heads: GroupedHeads, return_weights: bool) -> tuple[Array, Array | None]:
    """Lifts `attend` over groups, heads and the batch by `vmap`; gives the output and weights."""

    def one_head(query, key, value, mask, bias, dropout):
        attended: Any = attend(
            query, key, value, mask=mask, bias=bias, dropout=dropout, return_weights=return_weights
        )
        return attended if return_weights else (attended, None)

    # vmap passes None through any axis, so absent masks, biases and multipliers need no case.
    over_group = jax.vmap(one_head, (1, None, None, None, 0, 0), (1, 0))
    over_heads = jax.vmap(over_group, (1, 1, 1, None, 0, 0), (1, 0))
    return jax.vmap(over_heads)(*heads)
