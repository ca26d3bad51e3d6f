"""The frequencies of rotary positions, and their scaling to longer texts."""

import functools
import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

RotaryScalingKind = Literal["none", "linear", "llama3", "yarn"]


class RotaryScaling(NamedTuple):
    """The change of rotary positions for texts that are longer than those of the training.

    Attributes:
        kind: see `rotary_frequencies`.
        factor: number by which low frequencies are divided.
        first_length: length of the texts before the change, in tokens.
        turns: numbers of turns within `first_length` between which the change fades out.
    """

    kind: RotaryScalingKind = "none"
    factor: float = 1.0
    first_length: int = 8192
    turns: tuple[float, float] = (1.0, 4.0)


@functools.partial(jax.jit, static_argnames=("num_pairs", "base", "scaling", "dtype"))
def rotary_frequencies(
    num_pairs: int,
    base: float = 10_000.0,
    scaling: RotaryScaling = RotaryScaling(),  # noqa: B008
    dtype: jax.typing.DTypeLike = "float32",
) -> Float[Array, " num_pairs"]:
    """Returns the angle by which each pair of features turns from one position to the next.

    theta_i = base^(-i / num_pairs)
    none:    theta_i
    linear:  theta_i / factor
    llama3:  (1 - s_i) theta_i / factor + s_i theta_i,  s_i = clip((t_i - low) / (high - low), 0, 1)
    yarn:    the same, where s_i falls linearly with i, from 1 at high turns to 0 at low turns
    with t_i = first_length theta_i / (2 pi) and (low, high) = turns

    The ends of yarn's ramp are whole numbers i: the first one is rounded down, the last one up.

    Args:
        num_pairs: pairs of features of a head.
        base: the longest wavelength is nearly base times 2 pi tokens.
        scaling: the change for longer texts.
        dtype: type of the result, independent of JAX's default.

    Returns:
        The frequencies, the highest first.

    Raises:
        ValueError: if the kind of scaling is unknown.

    Example:
        >>> rotary_frequencies(2, 100.0).round(3).tolist()
        [1.0, 0.10000000149011612]
        >>> rotary_frequencies(2, 100.0, RotaryScaling("linear", 2.0)).round(3).tolist()
        [0.5, 0.05000000074505806]

    Reference:
        Su et al. 2021, section 3.4.2; Chen et al. 2023 (linear); Peng et al. 2023, "YaRN",
        section 3.2; Grattafiori et al. 2024, "The Llama 3 Herd of Models", section 3.2.
    """
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
