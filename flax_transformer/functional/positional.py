"""Positional schemes: how a model without recurrence is told the order of its inputs."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class PositionalScheme(NamedTuple):
    """A way to tell a model where each token stands, as pure functions.

    Attributes:
        encode: (positions [length], d_model, table) -> [length, d_model] or [1], what is added to
            the token embeddings.
        has_table: whether `encode` reads a learned table [max_length, d_model]; else it gets None.
        description: one line for people who choose.
    """

    encode: Callable[[Array, int, Array | None], Array]
    has_table: bool
    description: str


@functools.partial(jax.jit, static_argnames=("d_model", "base"))
def sinusoidal_positions(
    positions: Int[Array, " length"], d_model: int, base: float = 10_000.0
) -> Float[Array, "length d_model"]:
    """Encodes positions as sines and cosines of geometrically spaced wavelengths.

    PE(position, 2i)     = sin(position / base^(2i / d_model))
    PE(position, 2i + 1) = cos(position / base^(2i / d_model))

    Args:
        positions: counted in tokens, from 0.
        d_model: width of the encoding; an odd width drops the last cosine.
        base: the longest wavelength is base times 2 pi tokens.

    Returns:
        The encodings, sines in the even and cosines in the odd columns, in [-1, 1].

    Raises:
        ValueError: if d_model is not positive.

    Example:
        >>> sinusoidal_positions(jnp.arange(2), 2).round(3).tolist()
        [[0.0, 1.0], [0.8410000205039978, 0.5400000214576721]]

    Reference:
        Vaswani et al. 2017, section 3.5.
    """
    if d_model < 1:
        raise ValueError(f"d_model must be positive, not {d_model}")
    dtype = jnp.result_type(float)
    frequencies = base ** (-jnp.arange(0, d_model, 2, dtype=dtype) / d_model)
    angles = positions[:, None].astype(dtype) * frequencies
    interleaved = jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1)
    return interleaved.reshape(positions.shape[0], -1)[:, :d_model]


@jax.jit
def learned_positions(
    positions: Int[Array, " length"], table: Float[Array, "max_length d_model"]
) -> Float[Array, "length d_model"]:
    """Looks positions up in a table of parameters.

    PE(position) = table[position]

    Args:
        positions: counted in tokens, from 0; one past the table gives NaN, never a wrong row.
        table: one row a position.

    Returns:
        The rows of the positions.

    Raises:
        ValueError: if more positions are asked for than the table has rows.

    Example:
        >>> learned_positions(jnp.array([1]), jnp.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
        [[3.0, 4.0]]

    Reference:
        Gehring et al. 2017, section 3.1; Vaswani et al. 2017, table 3, row E.
    """
    if positions.shape[0] > table.shape[0]:
        raise ValueError(f"{positions.shape[0]} positions do not fit a table {table.shape}")
    return jnp.take(table, positions, axis=0, mode="fill")


SCHEMES: dict[str, PositionalScheme] = {
    "sinusoidal": PositionalScheme(
        lambda positions, d_model, _: sinusoidal_positions(positions, d_model),
        has_table=False,
        description="sines and cosines, interleaved as in the paper; no parameters, any length",
    ),
    "learned": PositionalScheme(
        lambda positions, _, table: learned_positions(positions, table),
        has_table=True,
        description="one trained vector a position, up to a fixed length",
    ),
    "none": PositionalScheme(
        lambda positions, d_model, _: jnp.zeros((positions.shape[0], d_model)),
        has_table=False,
        description="no positions: the encoder sees a bag of words",
    ),
}
