"""Sums over tokens that scores are made of."""

import functools
from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float64, Int

from flax_transformer.functional.losses import label_smoothed_cross_entropy
from flax_transformer.functional.ranking import argmax


class Counts(NamedTuple):
    """Sums over target tokens; dividing by `tokens` gives the means.

    Attributes:
        tokens: number of target tokens, padding not counted.
        nll: negative log-likelihood of the targets in nats, without label smoothing.
        correct: number of tokens to which the model gives the highest probability.
    """

    tokens: Float[Array, ""]
    nll: Float[Array, ""]
    correct: Float[Array, ""]


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
        >>> [round(float(count), 3) for count in counts]
        [1.0, 0.223, 1.0]
    """
    weights = is_token.astype(jnp.float32)
    nll, tokens = label_smoothed_cross_entropy(logits, target, weights)
    correct = jnp.sum((argmax(logits.astype(jnp.float32)) == target) * weights)
    return Counts(tokens, nll, correct)


def add_counts(counts: Iterable[Counts]) -> Counts:
    """Adds the counts of batches."""
    return functools.reduce(lambda a, b: jax.tree.map(lambda x, y: x + y, a, b), counts)


def sum_counts(counts: Iterable[Counts]) -> Float64[np.ndarray, "3"]:
    """Adds the counts of batches on the host, in float64."""
    return np.array([jax.device_get(count) for count in counts], np.float64).sum(axis=0)
