"""Sums over tokens that scores are made of."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flax_transformer.data.tokens.tokenizer import PAD
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
    logits: Float[Array, "rows length vocab"], target: Int[Array, "rows length"]
) -> Counts:
    """Counts how well logits predict targets, of which padding is left out.

    Example:
        >>> logits = jnp.log(jnp.array([[[0.2, 0.8], [0.5, 0.5]]]))
        >>> [round(float(count), 3) for count in count_tokens(logits, jnp.array([[1, 0]]))]
        [1.0, 0.223, 1.0]
    """
    weights = (target != PAD).astype(jnp.float32)
    nll, tokens = label_smoothed_cross_entropy(logits, target, weights)
    correct = jnp.sum((argmax(logits.astype(jnp.float32)) == target) * weights)
    return Counts(tokens, nll, correct)
