"""Attention a block of queries at a time, so that never more than a block of scores is held."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from flax_transformer.functional.kernels.cpu import is_cpu

# Scores of one block. On a CPU they are a megabyte, which stays in a core's cache; so small blocks
# would leave most of an accelerator idle.
_CPU_BLOCK, _ACCELERATOR_BLOCK = 2**18, 2**28
# Scores from which on blocks are taken unasked. On two CPU cores they take as long as all at once
# with half as many (experiments/benchmarks/attention.py); on accelerators it is a matter of memory.
_CPU_MANY, _ACCELERATOR_MANY = 2**27, 2**30


def blocks_pay(query: Array, key: Array) -> bool:
    """Whether there are so many scores that attending in blocks is faster, or needed."""
    batch, query_length, key_value_heads, group, _ = query.shape
    num_scores = batch * key_value_heads * group * query_length * key.shape[1]
    # In a program for symbolic sizes the number is unknown, and blocks are not used.
    is_known = isinstance(num_scores, int)
    return is_known and num_scores >= (_CPU_MANY if is_cpu() else _ACCELERATOR_MANY)


def attend_in_blocks(
    attend: Callable[..., Array],
    query: Float[Array, "batch query_length key_value_heads group head_dim"],
    key: Float[Array, "batch key_length key_value_heads head_dim"],
    value: Float[Array, "batch key_length key_value_heads value_dim"],
    mask: Bool[Array, "batch query_length key_length"] | None = None,
    bias: Float[Array, "batch key_value_heads group query_length key_length"] | None = None,
    dropout: Float[Array, "batch key_value_heads group query_length key_length"] | None = None,
) -> Float[Array, "batch query_length key_value_heads group value_dim"]:
    """Attends some positions, heads and examples at a time, one such block after the other.

    The result is that of all at once. Every query sees all its keys in one block, so the softmax
    is the usual one. Gradients compute the weights of a block again in place of keeping them all:
    a third more operations, for the memory of a block. A mask, a bias and dropout, where they are
    given, are arrays of all scores still.

    Reference:
        Rabe and Staats 2021, "Self-attention Does Not Need O(n^2) Memory" (there the keys are
        split as well).
    """
    positions_at_once, heads_at_once, examples_at_once = _at_once(query, key)

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

    heads_first = (x.swapaxes(1, 2) for x in (query, key, value))
    queries_first = (None if x is None else x.swapaxes(2, 3) for x in (bias, dropout))
    examples = (mask, *heads_first, *queries_first)
    return jax.lax.map(of_example, examples, batch_size=examples_at_once).swapaxes(1, 2)


def _at_once(query: Array, key: Array) -> tuple[int | None, int | None, int | None]:
    """How many positions, heads of keys and examples make a block, in parts of similar size.

    None, which is one at a time, if the number is a symbol.
    """
    batch, query_length, key_value_heads, group, _ = query.shape
    block = _CPU_BLOCK if is_cpu() else _ACCELERATOR_BLOCK
    sizes: list[int | None] = []
    scores = group * key.shape[1]
    for total in (query_length, key_value_heads, batch):
        if isinstance(total, int) and isinstance(scores, int):
            most = max(1, min(total, block // scores))
            num_parts = -(-total // most)
            sizes.append(-(-total // num_parts))
        else:
            sizes.append(None)
        scores *= total
    return sizes[0], sizes[1], sizes[2]
