"""Sums over tokens that scores are made of."""

import functools
import operator
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from flax_transformer.functional.losses import label_smoothed_cross_entropy
from flax_transformer.functional.ranking import argmax

# The number of target tokens ("num_targets"), their negative log-likelihood in nats ("loss_sum"),
# and how many were the most probable ones ("num_correct"): arguments of `compute_scores`.
Counts = dict[str, Any]


def count_tokens(
    logits: Float[Array, "rows length vocab"],
    target: Int[Array, "rows length"],
    is_token: Bool[Array, "rows length"],
) -> Counts:
    """Counts how well logits predict targets.

    Args:
        logits: of every place.
        target: token ids.
        is_token: False at padding, which is not counted.

    Example:
        >>> logits = jnp.log(jnp.array([[[0.2, 0.8], [0.5, 0.5]]]))
        >>> counts = count_tokens(logits, jnp.array([[1, 0]]), jnp.array([[True, False]]))
        >>> {name: round(float(count), 3) for name, count in counts.items()}
        {'num_targets': 1.0, 'loss_sum': 0.223, 'num_correct': 1.0}
    """
    weights = is_token.astype(jnp.float32)
    nll, tokens = label_smoothed_cross_entropy(logits, target, weights)
    correct = jnp.sum((argmax(logits.astype(jnp.float32)) == target) * weights)
    return {"num_targets": tokens, "loss_sum": nll, "num_correct": correct}


def add_counts(counts: Iterable[Counts]) -> Counts:
    """Adds the counts of batches.

    Example:
        >>> add_counts([{"num_targets": 2.0}, {"num_targets": 3.0}])
        {'num_targets': 5.0}
    """
    return functools.reduce(functools.partial(jax.tree.map, operator.add), counts)
