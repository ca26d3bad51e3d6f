"""Lifts functions of one example and one head to all heads of all examples."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

from flax_transformer.functional.array_types import check_masks, check_numbers
from flax_transformer.functional.attention import attend, check_shapes
from flax_transformer.functional.kernels import KERNELS, formula, kernel, with_kernel

# A name in `attention_implementations()`.
AttentionImplementation = str
# Axis of the heads in the arrays of one example; all heads share one mask.
_VECTORS = {"query": 1, "key": 1, "value": 1}
_SCORES = {"scores": 0, "weights": 0, "bias": 0, "dropout": 0}


@functools.partial(jax.jit, static_argnames=("scale", "cap", "return_weights", "implementation"))
def multi_head_attend(
    query: Float[Array, "batch query_length heads head_dim"],
    key: Float[Array, "batch key_length key_value_heads head_dim"],
    value: Float[Array, "batch key_length key_value_heads value_dim"],
    *,
    mask: Bool[Array, "#batch #query_length #key_length"] | None = None,
    bias: Float[Array, "#batch heads query_length key_length"] | None = None,
    dropout: Float[Array, "batch heads query_length key_length"] | None = None,
    scale: float | None = None,
    cap: float | None = None,
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

    If there are as many heads of keys and values as of queries, every query head has its own. If
    there are fewer, groups of adjacent query heads share one. If there is one, all share it.

    Args:
        query: queries of all heads.
        key: keys of all heads; the number of their heads divides that of the queries.
        value: values of all heads.
        mask: True where a query may attend to a key, the same for all heads; axes of size 1
            broadcast.
        bias: added to the scaled scores; a batch of size 1 broadcasts.
        dropout: multiplier of the weights, see `attend`.
        scale: factor of the scores, see `attend`.
        cap: soft cap of the scaled scores, see `attend`.
        return_weights: also return the weights; then the formula computes the attention.
        implementation: "xla", the formula for all heads at once; "blockwise", one block of queries
            after the other, without ever holding all weights; "auto", blockwise for very many
            scores, else xla; "cudnn", the fused kernel of NVIDIA's library, in 16 bits; or another
            kernel of this formula in `KERNELS`.

    Returns:
        The heads' outputs side by side, and the weights if requested.

    Raises:
        ValueError: if the shapes do not fit each other, the mask is not boolean, or the
            implementation does not support an argument.

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
    options = {"mask": mask, "bias": bias, "dropout": dropout, "scale": scale, "cap": cap}
    if implementation not in attention_implementations():
        known = ", ".join(map(repr, attention_implementations()))
        raise ValueError(f"implementation {implementation!r} must be one of {known}")
    if return_weights:
        return formula("auto")(query, key, value, **options, return_weights=True)
    if implementation == "auto":
        return attend_at_once(query, key, value, **options)
    run = formula("auto") if implementation == "xla" else kernel(implementation)
    return run(query, key, value, **options)


def attention_implementations() -> tuple[str, ...]:
    """Lists the implementations of `multi_head_attend`: the formula and its kernels."""
    return "xla", *(name for name in KERNELS if formula(name) is formula("auto"))


@with_kernel("auto")
def attend_at_once(
    query: Float[Array, "batch query_length heads head_dim"],
    key: Float[Array, "batch key_length key_value_heads head_dim"],
    value: Float[Array, "batch key_length key_value_heads value_dim"],
    *,
    return_weights: bool = False,
    scale: float | None = None,
    cap: float | None = None,
    **scores: Shaped[Array, "..."] | None,
) -> Any:
    """Attends for all heads of all examples at once; `scores` are mask, bias and dropout."""
    one_head = functools.partial(attend, scale=scale, cap=cap, return_weights=return_weights)
    lifted = over_heads(one_head, (1, 0) if return_weights else 1)
    return lifted(query=query, key=key, value=value, **scores)


def over_heads(function: Callable[..., Any], heads_axis: Any) -> Callable[..., Any]:
    """Lifts a function of one example and one head: `vmap` over heads, then over the batch.

    With fewer heads of keys and values than of queries, groups of adjacent query heads share one.

    Args:
        function: `attend`, one of the three functions it is made of, or another function with these
            argument names.
        heads_axis: axis of the heads in its output for one example: 1 for vectors [query_length,
            heads, value_dim], 0 for scores and weights [heads, query_length, key_length]; a tuple
            for several outputs.

    Returns:
        A function of the same arguments, given by name: query, key and value [batch, length, heads,
        dim], scores, weights, bias and dropout [batch, heads, query_length, key_length] and mask
        [batch, query_length, key_length]. A batch of size 1 of a bias, and any axis of size 1 of a
        mask, broadcasts.

    Example:
        >>> from flax_transformer.functional.attention import attention_scores
        >>> x = jnp.ones((2, 3, 4, 7))
        >>> over_heads(attention_scores, 0)(query=x, key=x[:, :, :2]).shape
        (2, 4, 3, 3)
    """

    def lifted(**arrays: Array | None) -> Any:
        grouped = group_heads(**arrays)
        axes = {name: (_VECTORS | _SCORES).get(name) for name in grouped}
        group_axes = axes | {name: None for name in ("key", "value") if name in axes}
        lift = functools.partial(jax.vmap, out_axes=heads_axis)
        over_group = lift(lambda arrays: function(**arrays), in_axes=(group_axes,))
        outputs = jax.vmap(lift(over_group, in_axes=(axes,)))(grouped)
        return jax.tree.map(_merge_groups, outputs, heads_axis)

    return lifted


def _merge_groups(output: Array, heads_axis: int) -> Array:
    """Merges the axes of key_value_heads and group into one axis of heads."""
    shape, axis = output.shape, heads_axis + 1
    return output.reshape(*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :])


def group_heads(**arrays: Array | None) -> dict[str, Array]:
    """Splits the heads of queries and scores into (key_value_heads, group), and broadcasts.

    Args:
        **arrays: named and shaped as for `over_heads`; those that are None are left out.

    Returns:
        query [batch, query_length, key_value_heads, group, head_dim]; scores, weights, bias and
        dropout [batch, key_value_heads, group, query_length, key_length]; mask [batch,
        query_length, key_length]; key and value unchanged.

    Raises:
        ValueError: if the shapes do not fit each other.
    """
    given = {name: array for name, array in arrays.items() if array is not None}
    whole = next(name for name in ("query", "scores", "weights") if name in given)
    shared = next((name for name in ("key", "value") if name in given), whole)
    if whole == "query":
        batch, query_length, num_heads, _ = given[whole].shape
        key_length = given[shared].shape[1]
    else:
        batch, num_heads, query_length, key_length = given[whole].shape
    num_shared = num_heads if shared == whole else given[shared].shape[2]
    if given[shared].shape[0] != batch or num_heads % num_shared:
        raise ValueError(
            f"{whole} {given[whole].shape} and {shared} {given[shared].shape} differ in batch, or "
            f"the {shared}'s heads do not divide the {whole}'s"
        )
    groups = (num_shared, num_heads // num_shared)
    full = (batch, num_heads, query_length, key_length)
    for name, array in given.items():
        if name == "query":
            given[name] = array.reshape(batch, query_length, *groups, array.shape[-1])
        elif name in _SCORES:
            if array.shape not in (full, (1, *full[1:])):
                raise ValueError(
                    f"{name} {array.shape} must be (batch, heads, query_length, key_length) = "
                    f"{full}"
                )
            split = (batch, *groups, query_length, key_length)
            given[name] = jnp.broadcast_to(array, full).reshape(split)
        elif name == "mask":
            given[name] = _full_mask(array, (batch, query_length, key_length))
    return given


def _full_mask(mask: Array, shape: tuple[int, int, int]) -> Array:
    if mask.ndim != 3 or any(
        size not in (1, whole) for size, whole in zip(mask.shape, shape, strict=True)
    ):
        raise ValueError(
            f"mask {mask.shape} must be (batch, query_length, key_length) = {shape}, or 1"
        )
    return jnp.broadcast_to(mask, shape)
