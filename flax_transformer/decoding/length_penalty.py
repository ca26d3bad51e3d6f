"""Length penalties: divisors of the log-probabilities by which hypotheses are ranked.

Without one, short hypotheses win: every further token can only lower a log-probability.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

LengthPenalty = Callable[[Int[Array, "*shape"]], Float[Array, "*shape"]]
"""Number of tokens, EOS included -> normalizer; positive and never decreasing with the length."""


def gnmt_length_penalty(length: Int[Array, "*shape"], alpha: float) -> Float[Array, "*shape"]:
    """Computes the penalty of Google's translation system; the Transformer paper uses alpha 0.6.

    lp(length) = ((5 + length) / 6) ** alpha

    Args:
        length: [*shape], number of tokens, EOS included.
        alpha: strength; 0 ranks by log-probability, larger values favor longer hypotheses.

    Returns:
        [*shape], the normalizer, at least 1 for length >= 1.

    Raises:
        ValueError: if alpha is negative: then stopping a beam early would not be exact.

    Example:
        >>> gnmt_length_penalty(jnp.array([1, 7]), alpha=1.0).tolist()
        [1.0, 2.0]

    Reference: Wu et al. 2016, Google's Neural Machine Translation System, eq. 14.
    """
    _check(alpha)
    return ((5.0 + jnp.asarray(length, jnp.float32)) / 6.0) ** alpha


def power_length_penalty(length: Int[Array, "*shape"], alpha: float) -> Float[Array, "*shape"]:
    """Computes a power of the length; alpha 1 ranks by the mean log-probability of a token.

    lp(length) = length ** alpha

    Args:
        length: [*shape], number of tokens, EOS included.
        alpha: strength; 0 ranks by log-probability, larger values favor longer hypotheses.

    Returns:
        [*shape], the normalizer, at least 1 for length >= 1.

    Raises:
        ValueError: if alpha is negative: then stopping a beam early would not be exact.

    Example:
        >>> power_length_penalty(jnp.array([1, 4]), alpha=0.5).tolist()
        [1.0, 2.0]

    Reference: Ott et al. 2019, fairseq (the option `lenpen`).
    """
    _check(alpha)
    return jnp.asarray(length, jnp.float32) ** alpha


LENGTH_PENALTIES = {"gnmt": gnmt_length_penalty, "power": power_length_penalty}


def _check(alpha: float) -> None:
    if alpha < 0:
        raise ValueError(f"alpha must be at least 0, got {alpha}")
