"""Target tokens of a model: its inputs for them, and counts of right predictions."""

import functools
import operator
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from flax_transformer.data.batches.batch import Batch, TextBatch
from flax_transformer.functional.losses import label_smoothed_cross_entropy
from flax_transformer.functional.ranking import argmax

# The number of target tokens ("num_targets"), their negative log-likelihood in nats ("loss_sum"),
# and how many were the most probable ones ("num_correct"): arguments of `compute_scores`.
Counts = dict[str, Any]


def shift_right(
    target: Int[Array, "batch length"], segments: Int[Array, "batch length"], bos_id: int
) -> Int[Array, "batch length"]:
    """Makes the decoder's input from targets: each token's predecessor.

    Args:
        target: token ids.
        segments: number (from 1) of the target that each token of a row belongs to; 0 for padding.
        bos_id: id of the begin mark, which precedes the first token of each segment.

    Returns:
        The token before each token.

    Example:
        >>> shift_right(jnp.array([[5, 7, 2, 6, 2]]), jnp.array([[1, 1, 1, 2, 2]]), 1).tolist()
        [[1, 5, 7, 1, 6]]
    """
    before = jnp.pad(target[:, :-1], ((0, 0), (1, 0)))
    goes_on = jnp.pad(segments[:, 1:] == segments[:, :-1], ((0, 0), (1, 0)))
    return jnp.where(goes_on, before, bos_id)


def next_tokens(
    batch: Batch | TextBatch, bos_id: int
) -> tuple[dict[str, Array], Int[Array, "rows length"], Bool[Array, "rows length"]]:
    """Splits a batch into inputs and targets.

    Args:
        batch: pieces of text, or sentence pairs.
        bos_id: id of the begin mark, which precedes a translation.

    Returns:
        The arguments of the model; the token to predict at each position from the earlier ones; and
        False at padding.
    """
    if isinstance(batch, TextBatch):
        tokens, segments = map(jnp.asarray, batch)
        inputs = {"tokens": tokens[:, :-1], "segments": segments[:, :-1]}
        return inputs, tokens[:, 1:], segments[:, 1:] != 0
    source, target, source_segments, target_segments = map(jnp.asarray, batch)
    inputs = {
        "source": source,
        "target": shift_right(target, target_segments, bos_id),
        "source_segments": source_segments,
        "target_segments": target_segments,
    }
    return inputs, target, target_segments != 0


def count_tokens(
    logits: Float[Array, "rows length vocab"],
    target: Int[Array, "rows length"],
    is_token: Bool[Array, "rows length"],
) -> Counts:
    """Counts how well logits predict targets.

    Args:
        logits: of every position.
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
