"""Losses with gradients written by hand, and of logits computed some rows at a time."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flax_transformer.functional.array_types import along_last_axes, at_least_float32
from flax_transformer.functional.attention import soft_cap
from flax_transformer.functional.kernels.rows_on_mesh import summed_over_rows
from flax_transformer.functional.kernels.sixteen_bits import transposed_copy
from flax_transformer.functional.losses import SmoothingOver, set_size
from flax_transformer.functional.projection import token_logits

# Logits of one chunk. On a CPU they stay in the cache of a core; an accelerator needs more to be
# busy.
_CPU_CHUNK, _ACCELERATOR_CHUNK = 2**22, 2**26


def weighted_losses(
    logits: Float[Array, "*batch vocab"],
    targets: Int[Array, "*batch"],
    weights: Float[Array, "*batch"],
    label_smoothing: float,
    smoothing_over: SmoothingOver,
) -> Float[Array, "*batch"]:
    """Computes the loss of each position, times its weight."""
    losses: Any = _cross_entropy(logits, targets, label_smoothing, smoothing_over)
    return _finite_or_weighted(losses, weights) * weights


def _finite_or_weighted(losses: Array, weights: Array) -> Array:
    """Replaces losses at weight 0 by 0 if they are not finite: the product would be NaN."""
    return jnp.where((weights == 0) & ~jnp.isfinite(losses), 0, losses)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _cross_entropy(
    logits: Array, targets: Array, label_smoothing: float, smoothing_over: SmoothingOver
) -> Array:
    """Returns losses [*batch]; the gradient keeps one array of the size of the logits, not four."""
    return _cross_entropy_forward(logits, targets, label_smoothing, smoothing_over)[0]


def _cross_entropy_forward(logits, targets, label_smoothing, smoothing_over):
    wide = logits.astype(at_least_float32(logits.dtype))
    log_normalizer = jax.nn.logsumexp(wide, axis=-1)
    at_target = jnp.take_along_axis(wide, targets[..., None], axis=-1, mode="clip")[..., 0]
    # A traced id cannot be checked. Clipped, it would train toward another token.
    at_target = jnp.where(_is_id(targets, logits.shape[-1]), at_target, jnp.nan)
    expected = (1 - label_smoothing) * at_target
    if label_smoothing:
        # A sum over a masked array would first write that array, so the target is subtracted.
        total = jnp.sum(wide, axis=-1)
        if smoothing_over == "others":
            total = total - at_target
        expected = expected + label_smoothing * total / set_size(logits.shape[-1], smoothing_over)
    return log_normalizer - expected, (logits, targets, log_normalizer)


def _cross_entropy_backward(label_smoothing, smoothing_over, residuals, gradient):
    """The gradient by logits_k, softmax(logits)_k - q(k), in one pass without a one-hot array."""
    logits, targets, log_normalizer = residuals
    vocab = logits.shape[-1]
    probabilities = jnp.exp(logits.astype(log_normalizer.dtype) - log_normalizer[..., None])
    tokens, targets = along_last_axes(jnp.arange(vocab), logits.ndim), targets[..., None]
    share = label_smoothing / set_size(vocab, smoothing_over)
    at_target = 1 - label_smoothing + (share if smoothing_over == "vocab" else 0.0)
    smoothed = jnp.where(tokens == targets, at_target, share).astype(log_normalizer.dtype)
    gradient = gradient[..., None]
    factor = jnp.where(_is_id(targets, vocab), gradient, jnp.nan)
    by_logits = jnp.where(gradient == 0, 0, (probabilities - smoothed) * factor)
    return by_logits.astype(logits.dtype), None


_cross_entropy.defvjp(_cross_entropy_forward, _cross_entropy_backward)


def _is_id(targets: Array, vocab: int) -> Array:
    return (targets >= 0) & (targets < vocab)


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
    """Sums the losses of all positions, computing some positions at a time."""
    rows = hidden.reshape(-1, hidden.shape[-1]), targets.ravel(), weights.ravel()
    options = (label_smoothing, smoothing_over, cap)
    # A chunk of the whole batch would bring rows of all devices together.
    run = summed_over_rows(lambda *arrays: _linear_losses(*arrays, options), num_shared=2)
    return run(table, bias, *rows)


def _by_chunks(function: Any, table: Array, bias: Array | None, *rows: Array) -> Any:
    """Calls a function of (table, bias, chunks of rows) with chunks that suit the platform."""

    def of_size(size: int) -> int:
        return max(min(size // table.shape[0], rows[0].shape[0]), 1)

    def with_chunks(length: int, table: Array, bias: Array | None, *rows: Array) -> Any:
        return function(table, bias, [_chunks(x, length) for x in rows])

    lengths = of_size(_CPU_CHUNK), of_size(_ACCELERATOR_CHUNK)
    cpu, default = (functools.partial(with_chunks, length) for length in lengths)
    if lengths[0] == lengths[1]:
        return cpu(table, bias, *rows)
    return jax.lax.platform_dependent(table, bias, *rows, cpu=cpu, default=default)


def _chunks(array: Array, length: int) -> Array:
    """Cuts [rows, ...] into [chunks, length, ...], padded with zeros."""
    filled = jnp.pad(array, [(0, -array.shape[0] % length)] + [(0, 0)] * (array.ndim - 1))
    return filled.reshape(-1, length, *array.shape[1:])


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def _linear_losses(table, bias, hidden, targets, weights, options):
    """Computes the weighted sum; options: label_smoothing, smoothing_over, cap."""
    *smoothing, cap = options

    def over_chunks(table, bias, chunks):
        def add(total, chunk):
            hidden, targets, weights = chunk
            logits = token_logits(hidden, table, bias, cap)
            losses = weighted_losses(logits, targets, weights, *smoothing)
            return total + jnp.sum(losses), None

        return jax.lax.scan(add, jnp.zeros((), weights.dtype), chunks)[0]

    return _by_chunks(over_chunks, table, bias, hidden, targets, weights)


def _linear_losses_forward(table, bias, hidden, targets, weights, options):
    """Computes the sum and its gradients: to compute them later would need all logits again."""

    def over_chunks(table, bias, chunks):
        def add(carry, chunk):
            total, by_table, by_bias = carry
            losses, by_logits = _losses_and_gradient(table, bias, chunk, options)
            by_bias = None if by_bias is None else by_bias + jnp.sum(by_logits, axis=0)
            by_logits, (hidden, _, weights) = by_logits.astype(table.dtype), chunk
            # Hidden vectors at weight 0 may be NaN, and 0 times NaN is NaN.
            counted = jnp.where(weights[:, None] == 0, 0, hidden)
            by_table = by_table + jnp.dot(
                transposed_copy(counted), by_logits, preferred_element_type=wide
            )
            by_hidden = jnp.dot(by_logits, table, preferred_element_type=wide)
            return (total + jnp.sum(losses * weights), by_table, by_bias), (by_hidden, losses)

        wide = at_least_float32(hidden.dtype)
        by_bias = None if bias is None else jnp.zeros(bias.shape, wide)
        zero = (jnp.zeros((), wide), jnp.zeros(table.shape[::-1], wide), by_bias)
        carry, of_rows = jax.lax.scan(add, zero, chunks)
        num_rows = hidden.shape[0]
        by_hidden, losses = (x.reshape(-1, *x.shape[2:])[:num_rows] for x in of_rows)
        return carry, by_hidden.astype(hidden.dtype), losses

    made = _by_chunks(over_chunks, table, bias, hidden, targets, weights)
    (total, by_table, by_bias), by_hidden, losses = made
    by_bias = None if bias is None else by_bias.astype(bias.dtype)
    return total, (by_table.T.astype(table.dtype), by_bias, by_hidden, losses)


def _losses_and_gradient(table, bias, chunk, options):
    """Computes the losses of a chunk, and their weighted gradient by its uncapped logits."""
    (hidden, targets, weights), (smoothing, over, cap) = chunk, options
    logits, uncap = token_logits(hidden, table, bias), None
    if cap is not None:
        logits, uncap = jax.vjp(functools.partial(soft_cap, cap=cap), logits)
    losses, residuals = _cross_entropy_forward(logits, targets, smoothing, over)
    by_logits = _cross_entropy_backward(smoothing, over, residuals, weights)[0]
    by_logits = by_logits if uncap is None else uncap(by_logits)[0]
    return _finite_or_weighted(losses, weights), by_logits


def _linear_losses_backward(options, gradients, cotangent):
    scaled = jax.tree.map(lambda x: x * cotangent.astype(x.dtype), gradients)
    by_table, by_bias, by_hidden, by_weights = scaled
    return by_table, by_bias, by_hidden, None, by_weights


_linear_losses.defvjp(_linear_losses_forward, _linear_losses_backward)
