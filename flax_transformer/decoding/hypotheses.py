"""What a search works over and what it returns."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from flax_transformer.functional.cache import Cache

Step = Callable[
    [Int[Array, "rows new_length"], Cache],
    tuple[Float[Array, "rows new_length vocab"], Cache],
]
"""Reads the next tokens of every row; gives the logits after each of them and the new cache."""


class Hypotheses(NamedTuple):
    """The `num_best` outputs found for each example, the best first.

    A slot that no hypothesis fills (fewer exist than were asked for) has score and log-probability
    -inf, length 0 and nothing but PAD.

    Attributes:
        tokens: [batch, num_best, max_length], int32, without the prompt, with EOS, then PAD.
        scores: [batch, num_best], float32, what the search ranks by; higher is better.
        log_probs: [batch, num_best], float32, nats, summed over the tokens, EOS included.
        lengths: [batch, num_best], int32, number of tokens, EOS included.
    """

    tokens: Int[Array, "batch num_best max_length"]
    scores: Float[Array, "batch num_best"]
    log_probs: Float[Array, "batch num_best"]
    lengths: Int[Array, "batch num_best"]


def take(hypotheses: Hypotheses, index: Int[Array, "batch chosen"]) -> Hypotheses:
    """Picks, for each example, the hypotheses at these places.

    Args:
        hypotheses: [batch, num_best, ...].
        index: [batch, chosen], places 0 .. num_best - 1.

    Returns:
        The hypotheses [batch, chosen, ...].
    """
    rows = jnp.arange(index.shape[0])[:, None]
    return jax.tree.map(lambda leaf: leaf[rows, index], hypotheses)


def concatenate(first: Hypotheses, second: Hypotheses) -> Hypotheses:
    """Puts the hypotheses of each example one after the other.

    Args:
        first: [batch, num_first, ...].
        second: [batch, num_second, ...].

    Returns:
        The hypotheses [batch, num_first + num_second, ...].
    """
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b], axis=1), first, second)


def where_example(condition: Bool[Array, " batch"], true: Any, false: Any) -> Any:
    """Takes each example from one of two pytrees.

    Args:
        condition: [batch].
        true: pytree of arrays [batch, ...].
        false: the same structure and shapes.

    Returns:
        The same structure: examples of `true` where the condition holds, else those of `false`.
    """

    def choose(a: Array, b: Array) -> Array:
        return jnp.where(condition.reshape(-1, *[1] * (a.ndim - 1)), a, b)

    return jax.tree.map(choose, true, false)
