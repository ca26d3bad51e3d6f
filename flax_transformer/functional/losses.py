"""Losses as a sum and a weight, so that parts of a batch add up to the whole."""

import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flax_transformer.functional.argument_checks import check_integers
from flax_transformer.functional.attention import soft_cap
from flax_transformer.functional.embedding import token_logits
from flax_transformer.functional.kernels.projection import transposed_copy
from flax_transformer.functional.precision import along_last_axes, at_least_float32

SmoothingOver = Literal["vocab", "others"]


@functools.partial(jax.jit, static_argnames=("label_smoothing", "smoothing_over"))
def label_smoothed_cross_entropy(
    logits: Float[Array, "*batch vocab"],
    targets: Int[Array, "*batch"],
    weights: Float[Array, "*batch"],
    label_smoothing: float = 0.0,
    smoothing_over: SmoothingOver = "vocab",
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Sums the cross-entropy against targets of which a part is spread over other tokens.

    loss = -sum_k q(k) log softmax(logits)_k
    q(k) = (1 - label_smoothing) [k = target] + label_smoothing [k in S] / |S|

    Args:
        logits: unnormalised log-probabilities.
        targets: the right token ids, in [0, vocab); any other gives NaN, in the gradient too.
        weights: factor of each position's loss; at 0 a position counts for nothing, whatever its
            target and its logits are.
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
    losses: Array = _cross_entropy(logits, targets, label_smoothing, smoothing_over)  # pyright: ignore[reportAssignmentType]
    weights = weights.astype(losses.dtype)
    return _weighted_sum(losses, weights), jnp.sum(weights)


def _weighted_sum(losses: Array, weights: Array) -> Array:
    return jnp.sum(_finite_or_weighted(losses, weights) * weights)


def _finite_or_weighted(losses: Array, weights: Array) -> Array:
    """Replaces losses at weight 0 that are not finite by 0: the product would be NaN."""
    return jnp.where((weights == 0) & ~jnp.isfinite(losses), 0, losses)


def _check(
    shape: tuple[int, ...],
    targets: Array,
    weights: Array,
    label_smoothing: float,
    smoothing_over: str,
) -> None:
    """Refuses what does not fit logits of a shape."""
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


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _cross_entropy(
    logits: Array, targets: Array, label_smoothing: float, smoothing_over: SmoothingOver
) -> Array:
    """Losses [*batch]; its own gradient keeps one array of the size of the logits, not four."""
    return _cross_entropy_forward(logits, targets, label_smoothing, smoothing_over)[0]


def _cross_entropy_forward(logits, targets, label_smoothing, smoothing_over):
    wide = logits.astype(at_least_float32(logits.dtype))
    log_normalizer = jax.nn.logsumexp(wide, axis=-1)
    at_target = jnp.take_along_axis(wide, targets[..., None], axis=-1, mode="clip")[..., 0]
    # A traced id cannot be refused; clipped, it would train towards another token.
    at_target = jnp.where(_is_id(targets, logits.shape[-1]), at_target, jnp.nan)
    expected = (1 - label_smoothing) * at_target
    if label_smoothing:
        # A sum over a masked array would first write that array: what is left out is subtracted.
        total = jnp.sum(wide, axis=-1)
        if smoothing_over == "others":
            total = total - at_target
        expected = expected + label_smoothing * total / _set_size(logits, smoothing_over)
    return log_normalizer - expected, (logits, targets, log_normalizer)


def _cross_entropy_backward(label_smoothing, smoothing_over, residuals, gradient):
    """D loss / d logits_k = softmax(logits)_k - q(k), in one pass without a one-hot array."""
    logits, targets, log_normalizer = residuals
    vocab = logits.shape[-1]
    probabilities = jnp.exp(logits.astype(log_normalizer.dtype) - log_normalizer[..., None])
    tokens, targets = along_last_axes(jnp.arange(vocab), logits.ndim), targets[..., None]
    share = label_smoothing / _set_size(logits, smoothing_over)
    at_target = 1 - label_smoothing + (share if smoothing_over == "vocab" else 0.0)
    smoothed = jnp.where(tokens == targets, at_target, share).astype(log_normalizer.dtype)
    gradient = gradient[..., None]
    factor = jnp.where(_is_id(targets, vocab), gradient, jnp.nan)
    by_logits = jnp.where(gradient == 0, 0, (probabilities - smoothed) * factor)
    return by_logits.astype(logits.dtype), None


_cross_entropy.defvjp(_cross_entropy_forward, _cross_entropy_backward)


def _is_id(targets: Array, vocab: int) -> Array:
    return (targets >= 0) & (targets < vocab)


def _set_size(logits: Array, smoothing_over: SmoothingOver) -> int:
    """How many tokens share the smoothed mass."""
    return logits.shape[-1] - (smoothing_over == "others")


@functools.partial(
    jax.jit, static_argnames=("label_smoothing", "smoothing_over", "cap", "chunk_size")
)
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
    chunk_size: int = 2**22,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Computes `label_smoothed_cross_entropy` of logits that never exist as a whole.

    loss = label_smoothed_cross_entropy(token_logits(hidden, table, bias, cap), targets, weights)

    The logits of a large vocabulary are the largest array of a training step, read and written
    several times. Here they are made for a few positions at a time, together with their gradient,
    so that they stay in the processor's cache.

    Args:
        hidden: one vector a position, see `token_logits`.
        table: one row a token.
        targets: see `label_smoothed_cross_entropy`.
        weights: see there.
        label_smoothing: see there.
        smoothing_over: see there.
        bias: see `token_logits`.
        cap: see `token_logits`.
        chunk_size: number of logits made at a time; more suits an accelerator.

    Returns:
        (sum, weight), see `label_smoothed_cross_entropy`; the logits are float32.

    Raises:
        ValueError: if shapes do not fit, or as `label_smoothed_cross_entropy` does.

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
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1, not {chunk_size}")
    _check((*hidden.shape[:-1], table.shape[0]), targets, weights, label_smoothing, smoothing_over)
    rows = max(min(chunk_size // table.shape[0], targets.size), 1)
    weights = weights.astype(at_least_float32(hidden.dtype))
    flat = hidden.reshape(-1, hidden.shape[-1]), targets.ravel(), weights.ravel()
    chunks = [_chunks(x, rows) for x in flat]
    options = label_smoothing, smoothing_over, cap
    total: Array = _linear_cross_entropy(table, bias, *chunks, *options)  # pyright: ignore[reportAssignmentType]
    return total, jnp.sum(weights)


def _chunks(array: Array, rows: int) -> Array:
    """Cuts [tokens, ...] into [chunks, rows, ...], filled up with zeros."""
    filled = jnp.pad(array, [(0, -array.shape[0] % rows)] + [(0, 0)] * (array.ndim - 1))
    return filled.reshape(-1, rows, *array.shape[1:])


@functools.partial(jax.custom_vjp, nondiff_argnums=(5, 6, 7))
def _linear_cross_entropy(table, bias, hidden, targets, weights, smoothing, over, cap):
    """The weighted sum over chunks [chunks, rows, ...]."""

    def add(total, chunk):
        hidden, targets, weights = chunk
        losses: Any = _cross_entropy(
            token_logits(hidden, table, bias, cap), targets, smoothing, over
        )
        return total + _weighted_sum(losses, weights), None

    zero = jnp.zeros((), at_least_float32(hidden.dtype))
    return jax.lax.scan(add, zero, (hidden, targets, weights))[0]


def _linear_cross_entropy_forward(table, bias, hidden, targets, weights, smoothing, over, cap):
    """The sum, and already its gradients: to make them later, all logits would be made again."""
    wide = at_least_float32(hidden.dtype)

    def add(carry, chunk):
        total, by_table, by_bias = carry
        hidden, targets, weights = chunk
        logits, uncap = token_logits(hidden, table, bias), None
        if cap is not None:
            logits, uncap = jax.vjp(lambda x: soft_cap(x, cap), logits)
        losses, residuals = _cross_entropy_forward(logits, targets, smoothing, over)
        by_logits = _cross_entropy_backward(smoothing, over, residuals, weights)[0]
        if uncap is not None:
            (by_logits,) = uncap(by_logits)
        if by_bias is not None:
            by_bias = by_bias + jnp.sum(by_logits, axis=0)
        by_logits = by_logits.astype(table.dtype)
        # Hidden vectors at weight 0 may be NaN, and 0 times NaN is NaN.
        counted = jnp.where(weights[:, None] == 0, 0, hidden)
        by_table = by_table + jnp.dot(
            transposed_copy(counted), by_logits, preferred_element_type=wide
        )
        by_hidden = jnp.dot(by_logits, table, preferred_element_type=wide)
        losses = _finite_or_weighted(losses, weights)
        return (total + jnp.sum(losses * weights), by_table, by_bias), (by_hidden, losses)

    by_bias = None if bias is None else jnp.zeros(bias.shape, wide)
    zero = (jnp.zeros((), wide), jnp.zeros(table.shape[::-1], wide), by_bias)
    carry, (by_hidden, losses) = jax.lax.scan(add, zero, (hidden, targets, weights))
    total, by_table, by_bias = carry
    gradients = by_table.T.astype(table.dtype), by_hidden.astype(hidden.dtype), losses
    return total, (*gradients, None if bias is None else by_bias.astype(bias.dtype))


def _linear_cross_entropy_backward(smoothing, over, cap, gradients, cotangent):
    by_table, by_hidden, by_weights, by_bias = jax.tree.map(
        lambda x: x * cotangent.astype(x.dtype), gradients
    )
    return by_table, by_bias, by_hidden, None, by_weights


_linear_cross_entropy.defvjp(_linear_cross_entropy_forward, _linear_cross_entropy_backward)
