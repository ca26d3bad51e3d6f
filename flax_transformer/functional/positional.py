"""Encodings of positions that are added to embeddings."""

import functools
import math
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flax_transformer.functional.array_types import at_least_float32, check_integers

SinusoidLayout = Literal["interleaved", "halves", "blocks"]
ResizeMethod = Literal["bilinear", "bicubic"]


@functools.partial(jax.jit, static_argnames=("d_model", "dtype"))
def position_numbers(
    positions: Int[Array, " length"], d_model: int, dtype: jax.typing.DTypeLike = "float32"
) -> Float[Array, "length d_model"]:
    """Encodes a position as its number, in one column.

    PE(position, 0) = position,  PE(position, i) = 0 for i > 0

    Only one column holds the number, because layer normalization would remove a constant that is
    added to all columns.

    Args:
        positions: counted in tokens, from 0.
        d_model: width of the encoding.
        dtype: type of the encodings, independent of JAX's default.

    Returns:
        The encodings, which grow without bound.

    Raises:
        ValueError: if d_model is not positive.

    Example:
        >>> position_numbers(jnp.arange(3), 2).tolist()
        [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]
    """
    return _first_column(positions.astype(dtype), d_model)


@functools.partial(jax.jit, static_argnames=("d_model", "dtype"))
def scaled_positions(
    positions: Int[Array, " length"],
    lengths: Int[Array, " length"],
    d_model: int,
    dtype: jax.typing.DTypeLike = "float32",
) -> Float[Array, "length d_model"]:
    """Encodes a position as a fraction of the way through the sequence, in one column.

    PE(position, 0) = position / (length - 1),  PE(position, i) = 0 for i > 0

    Args:
        positions: counted in tokens, from 0.
        lengths: number of tokens of each position's sequence; the only token of a sequence gets 0.
        d_model: width of the encoding.
        dtype: type of the encodings, independent of JAX's default.

    Returns:
        The encodings, in [0, 1] as long as a position is less than its length.

    Raises:
        ValueError: if d_model is not positive, or positions and lengths differ in shape.

    Example:
        >>> scaled_positions(jnp.arange(3), jnp.full(3, 3), 1).tolist()
        [[0.0], [0.5], [1.0]]
    """
    if positions.shape != lengths.shape:
        raise ValueError(f"positions {positions.shape} and lengths {lengths.shape} differ")
    steps = jnp.maximum(lengths - 1, 1).astype(dtype)
    return _first_column(positions.astype(dtype) / steps, d_model)


@functools.partial(jax.jit, static_argnames=("d_model", "base", "layout", "dtype"))
def sinusoidal_positions(
    positions: Int[Array, " length"],
    d_model: int,
    base: float = 10_000.0,
    layout: SinusoidLayout = "interleaved",
    dtype: jax.typing.DTypeLike = "float32",
) -> Float[Array, "length d_model"]:
    """Encodes positions as sines and cosines of geometrically spaced wavelengths.

    interleaved:  PE(position, 2i)         = sin(position / base^(2i / d_model))
                  PE(position, 2i + 1)     = cos(position / base^(2i / d_model))
    halves:       PE(position, i)          = sin(position / base^(i / (half - 1)))
                  PE(position, half + i)   = cos(position / base^(i / (half - 1)))
                  with half = floor(d_model / 2) and i < half
    blocks:       the columns of halves with the wavelengths of interleaved

    The first two differ not only in the order of their columns: the wavelengths of `halves` end
    exactly at base, those of the paper end one step earlier.

    Args:
        positions: counted in tokens, from 0.
        d_model: width of the encoding. An odd width drops the last cosine of the interleaved
            layout; in the others its last column is zero, as in T2T and fairseq.
        base: the longest wavelength is base times 2 pi tokens.
        layout: `interleaved` as in the paper, `halves` as in T2T, fairseq and Flax's example, or
            `blocks` as in Hugging Face's Marian.
        dtype: type of the encodings, independent of JAX's default.

    Returns:
        The encodings, in [-1, 1].

    Raises:
        ValueError: if d_model is not positive, the positions are not one row or the layout is
            unknown.

    Example:
        >>> sinusoidal_positions(jnp.arange(2), 2).round(3).tolist()
        [[0.0, 1.0], [0.8410000205039978, 0.5400000214576721]]

    Reference:
        Vaswani et al. 2017, section 3.5.
    """
    _check_width(d_model)
    _check_row(positions)
    if layout == "interleaved":
        exponents = jnp.arange(0, d_model, 2, dtype=dtype) / d_model
    elif layout == "halves":
        half = d_model // 2
        exponents = jnp.arange(half, dtype=dtype) / max(half - 1, 1)
    elif layout == "blocks":
        exponents = 2 * jnp.arange(d_model // 2, dtype=dtype) / d_model
    else:
        raise ValueError(f"layout must be interleaved, halves or blocks, not {layout}")
    angles = positions[:, None].astype(dtype) * base ** -exponents[None, :]
    waves = jnp.sin(angles), jnp.cos(angles)
    if layout == "interleaved":
        return jnp.stack(waves, axis=-1).reshape(positions.shape[0], -1)[:, :d_model]
    return jnp.pad(jnp.concatenate(waves, axis=-1), ((0, 0), (0, d_model % 2)))


@functools.partial(jax.jit, static_argnames=("d_model", "base", "dtype"))
def sinusoidal_2d_positions(
    coordinates: Int[Array, "length 2"],
    d_model: int,
    base: float = 10_000.0,
    dtype: jax.typing.DTypeLike = "float32",
) -> Float[Array, "length d_model"]:
    """Encodes places on a grid: half of the columns for the row, half for the column.

    PE((row, column)) = [PE(row); PE(column)], each sinusoidal

    Args:
        coordinates: row and column of each token, from 0.
        d_model: width of the encoding; if it is odd, the row gets the larger half.
        base: the longest wavelength is base times 2 pi cells.
        dtype: type of the encodings, independent of JAX's default.

    Returns:
        The encodings, in [-1, 1].

    Raises:
        ValueError: if d_model is less than 2, or the coordinates are not pairs.

    Example:
        >>> sinusoidal_2d_positions(jnp.array([[0, 0]]), 4).tolist()
        [[0.0, 1.0, 0.0, 1.0]]

    Reference:
        Beyer et al. 2022, "Better plain ViT baselines for ImageNet-1k".
    """
    if d_model < 2:
        raise ValueError(f"d_model must be at least 2, not {d_model}")
    if coordinates.ndim != 2 or coordinates.shape[1] != 2:
        raise ValueError(f"coordinates {coordinates.shape} must be [length, 2]")
    row, column = coordinates.T
    width = d_model // 2
    encodings = (
        sinusoidal_positions(row, d_model - width, base, dtype=dtype),
        sinusoidal_positions(column, width, base, dtype=dtype),
    )
    return jnp.concatenate(encodings, axis=-1)


@jax.jit
def learned_positions(
    positions: Int[Array, " length"], table: Float[Array, "max_length d_model"]
) -> Float[Array, "length d_model"]:
    """Looks up positions in a table of parameters.

    PE(position) = table[position]

    Args:
        positions: counted in tokens, from 0; one outside the table gives NaN, never a wrong row.
        table: one row a position.

    Returns:
        The rows of the positions.

    Raises:
        ValueError: if the table is not a matrix, or has fewer rows than there are positions.

    Example:
        >>> learned_positions(jnp.array([1]), jnp.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
        [[3.0, 4.0]]

    Reference:
        Gehring et al. 2017, section 3.1; Vaswani et al. 2017, table 3, row E.
    """
    _check_row(positions)
    check_integers(positions=positions)
    length, is_matrix = positions.shape[0], table.ndim == 2
    # A symbolic length cannot be compared. Positions outside the table give NaN.
    if not is_matrix or (isinstance(length, int) and length > table.shape[0]):
        raise ValueError(f"{positions.shape[0]} positions do not fit a table {table.shape}")
    return table.at[positions].get(mode="fill", wrap_negative_indices=False)


@functools.partial(jax.jit, static_argnames=("grid", "new_grid", "method"))
def resize_position_table(
    table: Float[Array, "rows d_model"],
    grid: tuple[int, int],
    new_grid: tuple[int, int],
    method: ResizeMethod = "bicubic",
) -> Float[Array, "new_rows d_model"]:
    """Interpolates a learned table of grid positions for a grid of another size.

    new_table[(i, j)] = table at ((i + 1/2) rows / new_rows - 1/2, (j + 1/2) columns / new_columns
    - 1/2), rows before those of the grid staying as they are

    Args:
        table: one row a cell, row by row, after the rows of other tokens, such as a class token.
        grid: rows and columns of the table's grid.
        new_grid: rows and columns wanted.
        method: `bilinear` or `bicubic`; for a smaller grid, the table is smoothed first.

    Returns:
        The table of the new grid.

    Raises:
        ValueError: if the table has fewer rows than cells, a size is not positive, or the method is
            unknown.

    Example:
        >>> table = jnp.array([[7.0], [1.0], [3.0]])
        >>> resize_position_table(table, (1, 2), (1, 4), "bilinear").ravel().tolist()
        [7.0, 1.0, 1.5, 2.5, 3.0]

    Reference:
        Dosovitskiy et al. 2021, section 3.2.
    """
    cells = math.prod(grid)
    if table.ndim != 2 or table.shape[0] < cells or min(*grid, *new_grid) < 1:
        raise ValueError(f"table {table.shape} of a grid {grid} cannot be resized to {new_grid}")
    if method not in get_args(ResizeMethod):
        raise ValueError(f"method must be bilinear or bicubic, not {method}")
    before, of_grid = jnp.split(table, [table.shape[0] - cells])
    d_model = table.shape[1]
    # In 16 bits the weights of an interpolation would not sum to 1.
    wide = of_grid.reshape(*grid, d_model).astype(at_least_float32(table.dtype))
    resized = jax.image.resize(wide, (*new_grid, d_model), method).astype(table.dtype)
    return jnp.concatenate([before, resized.reshape(-1, d_model)])


def _first_column(values: Array, d_model: int) -> Array:
    """Puts values [length] into the first of d_model columns of zeros."""
    _check_width(d_model)
    _check_row(values)
    return jnp.zeros((values.shape[0], d_model), values.dtype).at[:, 0].set(values)


def _check_width(d_model: int) -> None:
    if d_model < 1:
        raise ValueError(f"d_model must be positive, not {d_model}")


def _check_row(positions: Array) -> None:
    if positions.ndim != 1:
        raise ValueError(f"positions {positions.shape} must be one row: vmap over a batch")
