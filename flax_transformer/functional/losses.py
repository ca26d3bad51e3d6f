"""Losses as a sum and a weight, so that parts of a batch add up to the whole."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


@functools.partial(jax.jit, static_argnames="label_smoothing")
def label_smoothed_cross_entropy(
    logits: Float[Array, "*batch vocab"],
    targets: Int[Array, "*batch"],
    weights: Float[Array, "*batch"],
    label_smoothing: float = 0.0,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Sums the cross-entropy against targets of which a part is spread over the vocabulary.

    loss = -sum_k q(k) log softmax(logits)_k
    q(k) = (1 - label_smoothing) [k = target] + label_smoothing / vocab

    Args:
        logits: unnormalised log-probabilities.
        targets: the right token ids.
        weights: factor of each position's loss, 0 for padding.
        label_smoothing: probability mass spread evenly over the whole vocabulary, in [0, 1).

    Returns:
        (sum, weight): the weighted sum of the losses in nats and the sum of the weights, both
        float32; the mean loss is their quotient.

    Raises:
        ValueError: if shapes do not fit or the smoothing is out of range.

    Example:
        >>> logits = jnp.zeros((1, 2))
        >>> total, weight = label_smoothed_cross_entropy(logits, jnp.array([0]), jnp.ones(1), 0.1)
        >>> round(float(total), 4), float(weight)
        (0.6931, 1.0)

    Reference:
        Szegedy et al. 2016, section 7; Vaswani et al. 2017, section 5.4.
    """
    if logits.shape[:-1] != targets.shape or targets.shape != weights.shape:
        raise ValueError(
            f"logits {logits.shape}, targets {targets.shape} and weights {weights.shape} differ"
        )
    if not 0.0 <= label_smoothing < 1.0:
        raise ValueError(f"label_smoothing must be in [0, 1), not {label_smoothing}")
    losses: Array = _cross_entropy(logits, targets, label_smoothing)  # pyright: ignore[reportAssignmentType]
    return jnp.sum(losses * weights), jnp.sum(weights, dtype=losses.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _cross_entropy(logits: Array, targets: Array, label_smoothing: float) -> Array:
    """Losses [*batch]; its own gradient keeps one array of the size of the logits, not four."""
    return _cross_entropy_forward(logits, targets, label_smoothing)[0]


def _cross_entropy_forward(logits, targets, label_smoothing):
    wide = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    log_normalizer = jax.nn.logsumexp(wide, axis=-1)
    at_target = jnp.take_along_axis(wide, targets[..., None], axis=-1)[..., 0]
    expected = (1 - label_smoothing) * at_target
    if label_smoothing:
        expected = expected + label_smoothing * jnp.mean(wide, axis=-1)
    return log_normalizer - expected, (logits, targets, log_normalizer)


def _cross_entropy_backward(label_smoothing, residuals, gradient):
    """D loss / d logits_k = softmax(logits)_k - q(k), in one pass without a one-hot array."""
    logits, targets, log_normalizer = residuals
    vocab = logits.shape[-1]
    probabilities = jnp.exp(logits.astype(log_normalizer.dtype) - log_normalizer[..., None])
    is_target = jnp.arange(vocab) == targets[..., None]
    smoothed = jnp.where(is_target, 1 - label_smoothing, 0.0) + label_smoothing / vocab
    return ((probabilities - smoothed) * gradient[..., None]).astype(logits.dtype), None


_cross_entropy.defvjp(_cross_entropy_forward, _cross_entropy_backward)
