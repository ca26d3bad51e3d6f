"""The gradient noise scale, and the batch that it advises."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class NoiseScale(NamedTuple):
    """Noise of the gradient of a loss.

    Attributes:
        noise: trace of the covariance of the gradient of one unit (a row or a token).
        signal: square of the norm of the true gradient.
        batch: their ratio, in units: below it, twice the batch saves almost half of the updates;
            far above it, larger batches save almost none. It is not finite or negative if the parts
            are too few to estimate the signal.
    """

    noise: Float[Array, ""]
    signal: Float[Array, ""]
    batch: Float[Array, ""]


def noise_scale(part_gradients: Any, part_size: float) -> NoiseScale:
    """Estimates the gradient noise scale from the gradients of the parts of a batch.

    signal = (B |G_B|^2 - b |G_b|^2) / (B - b)
    noise = (|G_b|^2 - |G_B|^2) / (1 / b - 1 / B),  batch = noise / signal

    |G_b|^2 is the mean over parts of b units, |G_B|^2 that of the mean gradient, of B units. Both
    estimates are unbiased, but their ratio is not: average noise and signal over several updates
    before dividing.

    Args:
        part_gradients: a pytree of gradients, with a leading axis of parts: those of a loss that is
            a mean over the units of one part.
        part_size: units of one part.

    Returns:
        The estimates.

    Raises:
        ValueError: if there are not two parts.

    Example:
        >>> parts = {"w": jnp.array([[3.0], [1.0]])}  # two parts of 4 units each
        >>> [float(value) for value in noise_scale(parts, 4.0)]
        [8.0, 3.0, 2.6666667461395264]

    Reference:
        McCandlish et al. 2018, "An Empirical Model of Large-Batch Training", section 2.2 and
        appendix A.1.
    """
    leaves = jax.tree.leaves(part_gradients)
    parts = {leaf.shape[:1] for leaf in leaves}
    if len(parts) != 1 or min(parts) < (2,):
        raise ValueError(f"gradients need one leading axis of at least 2 parts, not {parts}")
    (number,) = min(parts)
    of_parts = _square_norm(leaves) / number
    of_mean = _square_norm([jnp.mean(leaf, axis=0) for leaf in leaves])
    small, large = part_size, part_size * number
    signal = (large * of_mean - small * of_parts) / (large - small)
    noise = (of_parts - of_mean) / (1 / small - 1 / large)
    return NoiseScale(noise, signal, noise / signal)


def _square_norm(leaves: list[Array]) -> Float[Array, ""]:
    return sum((jnp.sum(jnp.square(leaf)) for leaf in leaves), jnp.zeros(()))
