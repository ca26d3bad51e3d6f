"""Measurement of four properties of any positional scheme."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from flax_transformer.functional.schemes import Head, PositionalScheme

# Steps of the longest sentence in training; more than the distances that T5's buckets separate.
TRAINING_LENGTH = 128
_WIDTH = 64
_HEAD = Head(index=0, num_heads=8, bidirectional=True)
# Values closer than this share of the largest distance count as equal; rounding is smaller.
_SAME = 1e-4


class Verdict(NamedTuple):
    """Whether a property holds, and the measurement."""

    met: bool
    reason: str


# The heading of each property.
HEADINGS = {
    "unique": "unique value",
    "consistent": "consistent distance",
    "carries_on": "extends to longer texts",
    "bounded": "bounded, deterministic",
}


def check_wishes(scheme: PositionalScheme) -> dict[str, Verdict]:
    """Measures whether a scheme has the four properties.

    The value of a step is the output of the scheme: the encoding of the step; a vector of ones
    after rotation; or the biases of a query at the step against keys at all tested steps, in the
    first of eight heads. The distance of two steps is the distance of their values. Learned tables
    are drawn at random. If a row is a position, they have as many rows as the training length.

    A missing property is not always harmful: ALiBi's bias is unbounded, but the softmax turns it
    into a weight of zero.

    Args:
        scheme: any scheme, not only one of `SCHEMES`.

    Returns:
        The verdicts, each with the deciding number: "unique" (all steps of a sentence have
        different values), "consistent" (the distance of two steps does not depend on the length of
        the sentence), "carries_on" (steps beyond the training length have different values, too)
        and "bounded" (values stay within their range in training and are deterministic).

    Example:
        >>> from flax_transformer.functional.schemes import SCHEMES
        >>> check_wishes(SCHEMES["number"])["bounded"]
        Verdict(met=False, reason='in [0, 127] in 128 steps, in [0, 8,191] in 8,192')

    Reference:
        Kazemnejad 2019, "Transformer Architecture: The Positional Encoding".
    """
    return {
        "unique": _unique(scheme),
        "consistent": _consistent(scheme),
        "carries_on": _carries_on(scheme),
        "bounded": _bounded(scheme),
    }


def step_values(
    scheme: PositionalScheme,
    steps: Int[Array, " steps"],
    length: int,
    d_model: int = _WIDTH,
    max_positions: int = TRAINING_LENGTH,
) -> Float[Array, "steps width"]:
    """Computes the values of some steps of a sentence, as defined in `check_wishes`.

    Args:
        scheme: any scheme.
        steps: positions, counted from 0; for a scheme of biases also the positions of the keys.
        length: number of tokens of the sentence.
        d_model: width of encodings, of the rotated vector and of the query.
        max_positions: rows of a learned table of positions.

    Returns:
        One vector per step: all outputs of the scheme, concatenated. NaN if the scheme has no value
        at a step. A scheme without any outputs has the value 0 everywhere.

    Example:
        >>> from flax_transformer.functional.schemes import SCHEMES
        >>> step_values(SCHEMES["scaled"], jnp.arange(3), 5)[:, 0].tolist()
        [0.0, 0.25, 0.5]
    """
    ones = jnp.ones((1, d_model))
    draw = functools.partial(jax.random.normal, jax.random.key(0))
    table = draw((max_positions, d_model)) if scheme.has_table else None
    head_table = draw(scheme.head_table_shape(d_model)) if scheme.head_table_shape else None

    # Step by step: a table rejects more positions at once than it has rows.
    def value(step: Array) -> Array:
        position, given = step[None], []
        if scheme.encode:
            given.append(scheme.encode(position, jnp.full(1, length), d_model, table))
        if scheme.rotate:
            given.append(scheme.rotate(ones, position))
        if scheme.bias:
            given.append(scheme.bias(ones, position, steps, _HEAD, head_table))
        return jnp.concatenate(given, axis=1)[0] if given else jnp.zeros(1)

    return jax.vmap(value)(steps)


def _unique(scheme: PositionalScheme) -> Verdict:
    distances = _distances(_values(scheme, range(TRAINING_LENGTH), TRAINING_LENGTH))
    nearest = _nearest(distances).min()
    reason = f"the nearest two of {TRAINING_LENGTH} steps are {nearest:.2g} apart"
    return Verdict(bool(nearest > _SAME * distances.max()), reason)


def _consistent(scheme: PositionalScheme) -> Verdict:
    steps = range(TRAINING_LENGTH // 2)
    short, long = (
        _distances(_values(scheme, steps, length)) for length in (len(steps), TRAINING_LENGTH)
    )
    change = np.abs(long - short).max() / (short.max() or 1)
    reason = f"distances change by {change:.0%} from {len(steps)} to {TRAINING_LENGTH} tokens"
    return Verdict(bool(change < _SAME), reason)


def _carries_on(scheme: PositionalScheme) -> Verdict:
    length = 2 * TRAINING_LENGTH
    distances = _distances(_values(scheme, range(length), length))
    # A step without a value has the distance NaN from every step, itself included.
    has_value = np.isfinite(np.diagonal(distances))
    has_own = has_value & (_nearest(distances) > _SAME * np.nanmax(distances))
    carried = has_own[TRAINING_LENGTH:]
    reason = (
        f"{carried.sum()} of {len(carried)} steps after the first {TRAINING_LENGTH} have a value "
        "of their own"
    )
    return Verdict(bool(carried.all()), reason)


def _bounded(scheme: PositionalScheme) -> Verdict:
    far = 64 * TRAINING_LENGTH
    # Both ends of the sentence, for short and long distances.
    steps = np.r_[:TRAINING_LENGTH, far - TRAINING_LENGTH : far]
    values, again = (_values(scheme, steps, far) for _ in range(2))
    if not np.array_equal(values, again, equal_nan=True):
        difference = np.nanmax(np.abs(values - again))
        return Verdict(False, f"two computations differ by up to {difference:.2g}")
    in_training = _values(scheme, range(TRAINING_LENGTH), TRAINING_LENGTH)
    reason = f"in {_span(in_training)} in {TRAINING_LENGTH} steps, in {_span(values)} in {far:,}"
    return Verdict(bool(np.nanmax(np.abs(values)) <= 1.1 * np.nanmax(np.abs(in_training))), reason)


def _values(scheme: PositionalScheme, steps: range | np.ndarray, length: int) -> np.ndarray:
    return np.asarray(step_values(scheme, jnp.asarray(steps), length), np.float64)


def _distances(values: np.ndarray) -> np.ndarray:
    """The distances between all steps, [steps, steps]."""
    return np.stack([np.linalg.norm(values - value, axis=1) for value in values])


def _nearest(distances: np.ndarray) -> np.ndarray:
    """The distance of each step from the nearest other step that has a value."""
    others = np.where(np.eye(len(distances)) + np.isnan(distances), np.inf, distances)
    return others.min(axis=1)


def _span(values: np.ndarray) -> str:
    return f"[{_short(np.nanmin(values))}, {_short(np.nanmax(values))}]"


def _short(bound: float) -> str:
    # Adding zero removes the sign of a negative zero.
    return f"{bound + 0.0:,.0f}" if abs(bound) >= 1000 else f"{bound + 0.0:.3g}"
