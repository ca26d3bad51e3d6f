"""Losses as a sum and a weight, so that parts of a batch add up to the whole."""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flax_transformer.functional.array_types import at_least_float32, check_integers
from flax_transformer.functional.kernels import formula, with_kernel
from flax_transformer.functional.projection import token_logits

SmoothingOver = Literal["vocab", "others"]


@functools.partial(jax.jit, static_argnames=("label_smoothing", "smoothing_over"))
def label_smoothed_cross_entropy(
    logits: Float[Array, "*batch vocab"],
    targets: Int[Array, "*batch"],
    weights: Float[Array, "*batch"],
    label_smoothing: float = 0.0,
    smoothing_over: SmoothingOver = "vocab",
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Sums the cross-entropy against targets that are smoothed over other tokens.

    loss = -sum_k q(k) log softmax(logits)_k
    q(k) = (1 - label_smoothing) [k = target] + label_smoothing [k in S] / |S|

    Args:
        logits: unnormalized log-probabilities.
        targets: the correct token ids, in [0, vocab); others give NaN, also in the gradient.
        weights: factor of each position's loss; a position with weight 0 is ignored, whatever its
            target and logits are.
        label_smoothing: probability mass spread evenly over the set S, in [0, 1).
        smoothing_over: S: "vocab", all tokens; "others", all but the target.

    Returns:
        (sum, weight): the weighted sum of the losses in nats and the sum of the weights, both
        float32; the mean loss is their quotient.

    Raises:
        ValueError: if shapes do not fit, the smoothing is out of range, or S is unknown or empty.

    Example:
        >>> logits = jnp.zeros((1, 2))
        >>> total, weight = label_smoothed_cross_entropy(logits, jnp.array([0]), jnp.ones(1), 0.1)
        >>> round(float(total), 4), float(weight)
        (0.6931, 1.0)

    Reference:
        Szegedy et al. 2016, section 7; Vaswani et al. 2017, section 5.4.
    """
    _check(logits.shape, targets, weights, label_smoothing, smoothing_over)
    weights = weights.astype(at_least_float32(logits.dtype))
    losses = weighted_losses(logits, targets, weights, label_smoothing, smoothing_over)
    return jnp.sum(losses), jnp.sum(weights)


@with_kernel("cross_entropy")
def weighted_losses(
    logits: Float[Array, "*batch vocab"],
    targets: Int[Array, "*batch"],
    weights: Float[Array, "*batch"],
    label_smoothing: float,
    smoothing_over: SmoothingOver,
) -> Float[Array, "*batch"]:
    """Computes the loss of each position, times its weight."""
    is_counted, vocab = weights != 0, logits.shape[-1]
    # Not 0 times the logits, which may be infinite.
    counted = jnp.where(is_counted[..., None], logits.astype(weights.dtype), 0)
    log_probabilities = jax.nn.log_softmax(counted, axis=-1)
    at_target = jnp.take_along_axis(log_probabilities, targets[..., None], axis=-1, mode="clip")
    # A traced id cannot be checked. Clipped, it would train toward another token.
    is_id = (targets >= 0) & (targets < vocab)
    at_target = jnp.where(is_id | ~is_counted, at_target[..., 0], jnp.nan)
    spread, size = jnp.sum(log_probabilities, axis=-1), set_size(vocab, smoothing_over)
    if smoothing_over == "others":
        spread = spread - at_target
    expected = (1 - label_smoothing) * at_target
    if label_smoothing:
        expected = expected + label_smoothing * spread / size
    return -expected * weights


def set_size(vocab: int, smoothing_over: SmoothingOver) -> int:
    """Returns the number of tokens that share the smoothed mass."""
    return vocab - (smoothing_over == "others")


def _check(
    shape: tuple[int, ...],
    targets: Array,
    weights: Array,
    label_smoothing: float,
    smoothing_over: str,
) -> None:
    """Rejects arguments that do not fit logits of a shape."""
    check_integers(targets=targets)
    if shape[:-1] != targets.shape or targets.shape != weights.shape:
        raise ValueError(
            f"logits {shape}, targets {targets.shape} and weights {weights.shape} differ"
        )
    if not 0.0 <= label_smoothing < 1.0:
        raise ValueError(f"label_smoothing must be in [0, 1), not {label_smoothing}")
    if smoothing_over not in ("vocab", "others"):
        raise ValueError(f"smoothing_over must be vocab or others, not {smoothing_over!r}")
    if shape[-1] <= (smoothing_over == "others"):
        raise ValueError(f"{smoothing_over} leaves nothing to smooth over of logits {shape}")


@functools.partial(jax.jit, static_argnames=("label_smoothing", "smoothing_over", "cap"))
def linear_cross_entropy(
    hidden: Float[Array, "*batch d_model"],
    table: Float[Array, "vocab d_model"],
    targets: Int[Array, "*batch"],
    weights: Float[Array, "*batch"],
    label_smoothing: float = 0.0,
    smoothing_over: SmoothingOver = "vocab",
    *,
    bias: Float[Array, " vocab"] | None = None,
    cap: float | None = None,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Computes `label_smoothed_cross_entropy` without ever holding all logits.

    loss = label_smoothed_cross_entropy(token_logits(hidden, table, bias, cap), targets, weights)

    The logits of a large vocabulary are the largest array of a training step. They are computed for
    a few positions at a time, together with their gradient.

    Args:
        hidden: one vector a position, see `token_logits`.
        table: one row a token.
        targets: see `label_smoothed_cross_entropy`.
        weights: see there.
        label_smoothing: see there.
        smoothing_over: see there.
        bias: see `token_logits`.
        cap: see `token_logits`.

    Returns:
        (sum, weight), see `label_smoothed_cross_entropy`; the logits are float32.

    Raises:
        ValueError: if shapes do not fit, or if `label_smoothed_cross_entropy` raises one.

    Example:
        >>> hidden, table = jnp.zeros((1, 3)), jnp.zeros((2, 3))
        >>> total, weight = linear_cross_entropy(hidden, table, jnp.array([0]), jnp.ones(1))
        >>> round(float(total), 4), float(weight)
        (0.6931, 1.0)

    Reference:
        Hsu et al. 2024, "Liger Kernel: Efficient Triton Kernels for LLM Training" (fused linear
        cross-entropy).
    """
    if hidden.shape[-1:] != table.shape[1:] or table.ndim != 2:
        raise ValueError(f"hidden {hidden.shape} and table {table.shape} differ in d_model")
    _check((*hidden.shape[:-1], table.shape[0]), targets, weights, label_smoothing, smoothing_over)
    weights = weights.astype(at_least_float32(hidden.dtype))
    options = {"label_smoothing": label_smoothing, "smoothing_over": smoothing_over, "cap": cap}
    return linear_losses(hidden, table, bias, targets, weights, **options), jnp.sum(weights)


@with_kernel("linear_cross_entropy")
def linear_losses(
    hidden: Float[Array, "*batch d_model"],
    table: Float[Array, "vocab d_model"],
    bias: Float[Array, " vocab"] | None,
    targets: Int[Array, "*batch"],
    weights: Float[Array, "*batch"],
    *,
    label_smoothing: float,
    smoothing_over: SmoothingOver,
    cap: float | None,
) -> Float[Array, ""]:
    """Sums the losses of all positions, times their weights."""
    counted = jnp.where(weights[..., None] != 0, hidden, 0)
    logits = token_logits(counted, table, bias, cap)
    options = label_smoothing, smoothing_over
    return jnp.sum(formula("cross_entropy")(logits, targets, weights, *options))
