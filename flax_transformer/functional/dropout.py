"""Dropout as a multiplication by random zeros."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from flax_transformer.functional.kernels.random_trials import random_trials


@functools.partial(jax.jit, static_argnames=("rate", "shape"))
def dropout_multiplier(
    dropout_rng: PRNGKeyArray, rate: float, shape: tuple[int, ...]
) -> Float[Array, "..."]:
    """Draws the factors of dropout: 0 with probability `rate`, else 1 / (1 - rate).

    factor = [u >= rate] / (1 - rate),  u uniform in [0, 1)

    Args:
        dropout_rng: random key.
        rate: share of elements to drop, in [0, 1), rounded to the next 2^-16; the scale uses the
            rounded rate, so that the expected factor is exactly 1.
        shape: shape of the factors.

    Returns:
        float32 factors.

    Raises:
        ValueError: if the rate is outside [0, 1).

    Example:
        >>> factors = dropout_multiplier(jax.random.key(0), 0.5, (1000,))
        >>> sorted(set(factors.tolist()))
        [0.0, 2.0]

    Reference:
        Srivastava et al. 2014; Vaswani et al. 2017, section 5.4.
    """
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"a dropout rate must be in [0, 1), not {rate}")
    dropped = min(round(rate * 2**16), 2**16 - 1)
    is_kept = random_trials(dropout_rng, dropped, shape)
    return jnp.where(is_kept, jnp.float32(2**16 / (2**16 - dropped)), 0.0)
