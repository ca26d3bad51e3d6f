"""Attention in blocks of queries, without holding all scores, and by cuDNN's fused kernel."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.nn import dot_product_attention
from jaxtyping import Array, Bool, Float, Shaped

from flax_transformer.functional.attention import attend
from flax_transformer.functional.heads import group_heads
from flax_transformer.functional.kernels import formula

# Scores of one block. On a CPU they take a megabyte, which stays in a core's cache. Blocks this
# small would leave most of an accelerator idle.
_CPU_BLOCK, _ACCELERATOR_BLOCK = 2**18, 2**28
# Number of scores from which "auto" uses blocks. On two CPU cores, blocks and all at once take the
# same time at half as many (experiments/benchmarks/attention.py). On accelerators the reason is
# memory.
_CPU_MANY, _ACCELERATOR_MANY = 2**27, 2**30


Blocks = tuple[int | None, int | None, int | None]


def blocks_pay(num_scores: int, platform: str) -> bool:
    """Whether so many scores should be computed in blocks: to save time or memory."""
    return num_scores >= (_CPU_MANY if platform == "cpu" else _ACCELERATOR_MANY)


def attend_by_number(
    query: Float[Array, "batch query_length heads head_dim"],
    key: Float[Array, "batch key_length key_value_heads head_dim"],
    value: Float[Array, "batch key_length key_value_heads value_dim"],
    *,
    scale: float | None = None,
    cap: float | None = None,
    **scores: Shaped[Array, "..."] | None,
) -> Float[Array, "batch query_length heads value_dim"]:
    """Attends in blocks if they pay on the platform, else to all keys of all queries at once."""
    all_at_once = formula("auto")
    batch, query_length, num_heads, _ = query.shape
    num_scores = batch * num_heads * query_length * key.shape[1]
    options: dict[str, Any] = {"scale": scale, "cap": cap}
    # In a program for symbolic sizes the number is unknown, and blocks are not used.
    if not isinstance(num_scores, int) or not blocks_pay(num_scores, "cpu"):
        return all_at_once(query, key, value, **scores, **options)
    if blocks_pay(num_scores, "gpu"):
        return attend_in_blocks(query, key, value, **scores, **options)
    cpu, default = (_of_arrays(form, options) for form in (attend_in_blocks, all_at_once))
    return jax.lax.platform_dependent(query, key, value, scores, cpu=cpu, default=default)


def _of_arrays(form: Any, options: dict[str, Any]) -> Any:
    return lambda query, key, value, scores: form(query, key, value, **scores, **options)


def attend_in_blocks(
    query: Float[Array, "batch query_length heads head_dim"],
    key: Float[Array, "batch key_length key_value_heads head_dim"],
    value: Float[Array, "batch key_length key_value_heads value_dim"],
    *,
    scale: float | None = None,
    cap: float | None = None,
    **scores: Shaped[Array, "..."] | None,
) -> Float[Array, "batch query_length heads value_dim"]:
    """Attends in blocks of some positions, heads and examples, one block after the other.

    The result is the same as for all at once. Every query sees all its keys in one block, so the
    softmax is the usual one. Gradients recompute the weights of a block instead of keeping them: a
    third more operations, but only the memory of a block. Mask, bias and dropout, if given, are
    still arrays of all scores.

    Reference:
        Rabe and Staats 2021, "Self-attention Does Not Need O(n^2) Memory" (there the keys are
        split as well).
    """
    heads = group_heads(query=query, key=key, value=value, **scores)
    one_head = functools.partial(attend, scale=scale, cap=cap)
    sizes = [at_once(heads, block) for block in (_CPU_BLOCK, _ACCELERATOR_BLOCK)]
    cpu, default = (functools.partial(_in_blocks, one_head, size) for size in sizes)
    if sizes[0] == sizes[1]:
        output = cpu(heads)
    else:
        output = jax.lax.platform_dependent(heads, cpu=cpu, default=default)
    return output.reshape(*query.shape[:3], value.shape[-1])


def _in_blocks(attend: Any, sizes: Blocks, heads: dict[str, Array]) -> Array:
    """Returns [batch, query_length, key_value_heads, group, value_dim]."""
    positions_at_once, heads_at_once, examples_at_once = sizes

    def of_position(key, value, here):
        query, mask, bias, dropout = here
        mask = None if mask is None else jnp.broadcast_to(mask, (query.shape[0], key.shape[0]))
        return attend(query, key, value, mask=mask, bias=bias, dropout=dropout)

    def of_head(mask, head):
        query, key, value, bias, dropout = head
        recomputed = jax.checkpoint(of_position, prevent_cse=False)
        attended = functools.partial(recomputed, key, value)
        return jax.lax.map(attended, (query, mask, bias, dropout), batch_size=positions_at_once)

    def of_example(example):
        mask, *heads = example
        return jax.lax.map(functools.partial(of_head, mask), tuple(heads), batch_size=heads_at_once)

    heads_first = (heads[name].swapaxes(1, 2) for name in ("query", "key", "value"))
    queries_first = (
        heads[name].swapaxes(2, 3) if name in heads else None for name in ("bias", "dropout")
    )
    examples = (heads.get("mask"), *heads_first, *queries_first)
    return jax.lax.map(of_example, examples, batch_size=examples_at_once).swapaxes(1, 2)


def at_once(heads: dict[str, Array], block: int) -> Blocks:
    """Returns the numbers of positions, key heads and examples in blocks of similar size.

    None, one at a time, if the total is symbolic.
    """
    batch, query_length, key_value_heads, group, _ = heads["query"].shape
    sizes: list[int | None] = []
    scores = group * heads["key"].shape[1]
    for total in (query_length, key_value_heads, batch):
        if isinstance(total, int) and isinstance(scores, int):
            most = max(1, min(total, block // scores))
            num_parts = -(-total // most)
            sizes.append(-(-total // num_parts))
        else:
            sizes.append(None)
        scores *= total
    return sizes[0], sizes[1], sizes[2]


_TYPES = ("bfloat16", "float16")


def cudnn_attend(
    query: Float[Array, "batch query_length heads head_dim"],
    key: Float[Array, "batch key_length key_value_heads head_dim"],
    value: Float[Array, "batch key_length key_value_heads value_dim"],
    *,
    mask: Bool[Array, "#batch #query_length #key_length"] | None = None,
    bias: Float[Array, "#batch heads query_length key_length"] | None = None,
    dropout: Float[Array, "batch heads query_length key_length"] | None = None,
    scale: float | None = None,
    cap: float | None = None,
) -> Float[Array, "batch query_length heads head_dim"]:
    """Computes `multi_head_attend` in one kernel.

    Raises:
        ValueError: if dropout, a soft cap, another type or other widths are requested, or the
            machine has no GPU.
    """
    widths_fit = query.shape[-1] == value.shape[-1] and query.shape[-1] % 8 == 0
    for is_possible, problem in (
        (dropout is None, "has no dropout of the weights"),
        (cap is None, "has no soft cap"),
        (query.dtype in _TYPES, f"computes in {_TYPES}, not {query.dtype}"),
        (
            widths_fit,
            "needs head_dim = value_dim, a multiple of 8, not query "
            f"{query.shape} and value {value.shape}",
        ),
        # JAX asks this machine's library for its version already during tracing.
        (has_gpu(), "needs an NVIDIA GPU, and there is none"),
    ):
        if not is_possible:
            raise ValueError(f"cudnn attention {problem}: use implementation='auto'")
    output = dot_product_attention(
        query,
        key,
        value,
        None if bias is None else bias.astype(query.dtype),
        None if mask is None else mask[:, None],
        scale=scale,
        implementation="cudnn",
    )
    if mask is None:
        return output
    # The kernel averages all values for a query that may attend to nothing; `attend` gives zeros.
    return jnp.where(mask.any(axis=-1)[..., None, None], output, 0)


def has_gpu() -> bool:
    """Whether this machine has a GPU."""
    try:
        return bool(jax.devices("gpu"))
    except RuntimeError:
        return False
