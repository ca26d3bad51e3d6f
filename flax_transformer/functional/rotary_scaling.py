"""The angles of rotary positions, and their scaling to longer texts."""

import functools
import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

RotaryScalingKind = Literal["none", "linear", "llama3", "yarn"]


class RotaryScaling(NamedTuple):
    """The change of rotary positions for texts that are longer than those of the training.

    Attributes:
        kind: see `rotary_angles`.
        factor: number by which low frequencies are divided.
        first_length: length of the texts before the change, in tokens.
        turns: numbers of turns within `first_length` between which the change fades out.
    """

    kind: RotaryScalingKind = "none"
    factor: float = 1.0
    first_length: int = 8192
    turns: tuple[float, float] = (1.0, 4.0)


@functools.partial(jax.jit, static_argnames=("num_pairs", "base", "scaling", "dtype"))
def rotary_angles(
    positions: Int[Array, " length"],
    num_pairs: int,
    base: float = 10_000.0,
    scaling: RotaryScaling = RotaryScaling(),  # noqa: B008
    dtype: jax.typing.DTypeLike = "float32",
) -> Float[Array, "length num_pairs"]:
    """Computes the angle by which each pair of features is rotated at each position.

    none:    angle_i = position theta_i,  theta_i = base^(-i / num_pairs)
    linear:  angle_i = position theta_i / factor
    llama3:  angle_i = position ((1 - s_i) theta_i / factor + s_i theta_i)
             with s_i = clip((turns_i - low) / (high - low), 0, 1)
    yarn:    the same, where s_i falls linearly with i, from 1 at high turns to 0 at low turns
    with turns_i = first_length theta_i / (2 pi) and (low, high) = turns

    The ends of yarn's ramp are whole numbers i: the first one is rounded down, the last one up.

    Args:
        positions: counted in tokens, from 0.
        num_pairs: pairs of features of a head.
        base: the longest wavelength is nearly base times 2 pi tokens.
        scaling: the change for longer texts.
        dtype: type of the result, independent of JAX's default.

    Returns:
        The angles in radians; those of the first pair are the largest.

    Raises:
        ValueError: if the positions are not one row, or the kind of scaling is unknown.

    Example:
        >>> rotary_angles(jnp.array([0, 3]), 2, base=4.0).tolist()
        [[0.0, 0.0], [3.0, 1.5]]
        >>> rotary_angles(jnp.array([0, 3]), 1, 100.0, RotaryScaling("linear", 2.0)).tolist()
        [[0.0], [1.5]]

    Reference:
        Su et al. 2021, section 3.4.2; Chen et al. 2023 (linear); Peng et al. 2023, "YaRN",
        section 3.2; Grattafiori et al. 2024, "The Llama 3 Herd of Models", section 3.2.
    """
    if positions.ndim != 1:
        raise ValueError(f"positions {positions.shape} must be one row: vmap over a batch")
    theta = _frequencies(num_pairs, base, scaling, dtype)
    return positions[:, None].astype(dtype) * theta[None, :]


def _frequencies(
    num_pairs: int, base: float, scaling: RotaryScaling, dtype: jax.typing.DTypeLike
) -> Array:
    index = jnp.arange(num_pairs, dtype=dtype)
    theta = base ** (-index / max(num_pairs, 1))
    kind, factor, first_length, (low, high) = scaling
    if kind == "none":
        return theta
    if kind == "linear":
        return theta / factor
    if kind == "llama3":
        turns = first_length * theta / (2 * math.pi)
        share = (turns - low) / (high - low)
    elif kind == "yarn":
        # The index at which a pair makes a given number of turns.
        first, last = (
            num_pairs * math.log(first_length / (turns * 2 * math.pi)) / math.log(base)
            for turns in (high, low)
        )
        first, last = max(math.floor(first), 0), min(math.ceil(last), 2 * num_pairs - 1)
        share = 1 - (index - first) / max(last - first, 1e-3)
    else:
        raise ValueError(f"scaling must be none, linear, llama3 or yarn, not {kind}")
    share = jnp.clip(share, 0, 1)
    return (1 - share) * theta / factor + share * theta
