"""Positional schemes: ways to give a model the order of its inputs, as values of one type."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flax_transformer.errors import UserError
from flax_transformer.functional.positional import (
    learned_positions,
    position_numbers,
    scaled_positions,
    sinusoidal_2d_positions,
    sinusoidal_positions,
)
from flax_transformer.functional.relative import (
    RotaryLayout,
    alibi_bias,
    alibi_slope,
    relative_bias,
    rotary,
    t5_bias,
)
from flax_transformer.functional.rotary_scaling import RotaryScaling, RotaryScalingKind


class Head(NamedTuple):
    """The attention head that a bias is for.

    Attributes:
        index: its number in the layer, from 0; may be traced.
        num_heads: number of heads of the layer.
        bidirectional: whether keys may come after the query.
    """

    index: Int[Array, ""] | int
    num_heads: int
    bidirectional: bool


class PositionalScheme(NamedTuple):
    """A way to give a model the position of each token, as pure functions of one example.

    A scheme without any of the functions gives no positions. Positions are counted from 0 within a
    token's sequence.

    Attributes:
        description: one line that helps users choose.
        encode: (positions [length], lengths [length], d_model, table) -> [length, d_model], added
            to the embeddings; lengths are the numbers of tokens of each token's sequence.
        has_table: whether `encode` reads a learned table [max_positions, d_model]; else it gets
            None.
        encode_grid: (coordinates [length, 2], d_model) -> [length, d_model], used instead of
            `encode` for tokens on a grid with known rows and columns; without it, positions on a
            grid count row by row.
        rotate: (x [length, head_dim], positions [length]) -> [length, head_dim], applied to the
            queries and to the keys of one head.
        bias: (query [query_length, head_dim], query_positions, key_positions, head, table) ->
            [query_length, key_length], added to the scaled scores of one head.
        head_table_shape: head_dim -> shape of the table that `bias` learns for one head; without
            it, `bias` gets None.
        make: makes the scheme with parameters other than the published ones, given by name; None if
            it has no parameters. See `positional_scheme`.
    """

    description: str
    encode: Callable[[Array, Array, int, Array | None], Array] | None = None
    has_table: bool = False
    encode_grid: Callable[[Array, int], Array] | None = None
    rotate: Callable[[Array, Array], Array] | None = None
    bias: Callable[[Array, Array, Array, Head, Array | None], Array] | None = None
    head_table_shape: Callable[[int], tuple[int, ...]] | None = None
    make: Callable[..., "PositionalScheme"] | None = None


def _rotary_scheme(
    rotary_base: float = 10_000.0,
    rotary_layout: RotaryLayout = "interleaved",
    rotary_scaling: RotaryScalingKind = "none",
    rotary_factor: float = 1.0,
    rotary_first_length: int = 8192,
    rotary_turns: tuple[float, float] = (1.0, 4.0),
) -> PositionalScheme:
    """Makes the scheme of rotated queries and keys, see `rotary` and `rotary_angles`."""
    scaling = RotaryScaling(rotary_scaling, rotary_factor, rotary_first_length, rotary_turns)
    return PositionalScheme(
        "queries and keys rotated by angles that grow with the position (RoPE)",
        rotate=functools.partial(rotary, base=rotary_base, layout=rotary_layout, scaling=scaling),
        make=_rotary_scheme,
    )


def _relative_scheme(relative_max_distance: int = 16) -> PositionalScheme:
    """Makes the scheme of a trained vector a distance, see `relative_bias`.

    Args:
        relative_max_distance: k, in tokens; by default that of the paper's base model.
    """
    return PositionalScheme(
        f"a trained vector for each distance, up to {relative_max_distance} tokens (Shaw et al.)",
        bias=lambda query, query_positions, key_positions, _, table: relative_bias(
            query, query_positions, key_positions, table
        ),
        head_table_shape=lambda head_dim: (2 * relative_max_distance + 1, head_dim),
        make=_relative_scheme,
    )


def _t5_scheme(t5_num_buckets: int = 32, t5_max_distance: int = 128) -> PositionalScheme:
    """Makes the scheme of a trained bias for each range of distances, see `t5_bucket`."""
    return PositionalScheme(
        f"a trained bias for each of {t5_num_buckets} ranges of distances (T5)",
        bias=lambda _, query_positions, key_positions, head, table: t5_bias(
            query_positions, key_positions, table, t5_max_distance, head.bidirectional
        ),
        head_table_shape=lambda _: (t5_num_buckets,),
        make=_t5_scheme,
    )


def _folded(
    positions: Int[Array, " length"], lengths: Int[Array, " length"], d_model: int
) -> Float[Array, "length d_model"]:
    """Folds sequences row by row into the smallest squares that hold them."""
    side = jnp.rint(jnp.sqrt(lengths)).astype(positions.dtype)
    side = jnp.maximum(side + (side * side < lengths).astype(side.dtype), 1)
    coordinates = jnp.stack([positions // side, positions % side], axis=1)
    return sinusoidal_2d_positions(coordinates, d_model)


SCHEMES: dict[str, PositionalScheme] = {
    "number": PositionalScheme(
        "the position's number as it is, in one column",
        encode=lambda positions, _, d_model, __: position_numbers(positions, d_model),
    ),
    "scaled": PositionalScheme(
        "the position's share of the way through the sequence, from 0 to 1, in one column",
        encode=lambda positions, lengths, d_model, _: scaled_positions(positions, lengths, d_model),
    ),
    "sinusoidal": PositionalScheme(
        "sines and cosines, interleaved as in the paper; no parameters, any length",
        encode=lambda positions, _, d_model, __: sinusoidal_positions(positions, d_model),
    ),
    "sinusoidal_halves": PositionalScheme(
        "sines, then cosines, as in T2T, fairseq and Flax's example",
        encode=lambda positions, _, d_model, __: sinusoidal_positions(
            positions, d_model, layout="halves"
        ),
    ),
    "sinusoidal_blocks": PositionalScheme(
        "sines, then cosines, with the wavelengths of the paper, as in Hugging Face's Marian",
        encode=lambda positions, _, d_model, __: sinusoidal_positions(
            positions, d_model, layout="blocks"
        ),
    ),
    "learned": PositionalScheme(
        "one trained vector for each position, up to a fixed length",
        encode=lambda positions, _, __, table: learned_positions(positions, table),
        has_table=True,
    ),
    "rotary": _rotary_scheme(),
    "alibi": PositionalScheme(
        "scores fall in proportion to the distance, at another rate in each head (ALiBi)",
        bias=lambda _, query_positions, key_positions, head, __: alibi_bias(
            query_positions, key_positions, alibi_slope(head.index, head.num_heads)
        ),
    ),
    "relative": _relative_scheme(),
    "t5": _t5_scheme(),
    "sinusoidal_2d": PositionalScheme(
        "sines and cosines of row and column; a sequence is folded into a square",
        encode=lambda positions, lengths, d_model, _: _folded(positions, lengths, d_model),
        encode_grid=sinusoidal_2d_positions,
    ),
    "none": PositionalScheme("no positions: the encoder sees a bag of words"),
}


def positional_scheme(name: str, options: Any = None) -> PositionalScheme:
    """Returns a scheme with the parameters set in options, such as `options.rotary_base`.

    Args:
        name: a name in `SCHEMES`.
        options: any object; its attributes with the names of the scheme's parameters are used.

    Returns:
        The scheme; parameters that the options do not set have their published values.

    Raises:
        ValueError: if the name is unknown.

    Example:
        >>> import types
        >>> scheme = positional_scheme("t5", types.SimpleNamespace(t5_num_buckets=7))
        >>> scheme.head_table_shape(64)
        (7,)
    """
    if name not in SCHEMES:
        raise ValueError(f"no positional scheme {name!r}: known are {', '.join(SCHEMES)}")
    make = SCHEMES[name].make
    if make is None:
        return SCHEMES[name]
    stated = [key for key in inspect.signature(make).parameters if hasattr(options, key)]
    return make(**{key: getattr(options, key) for key in stated})


class SchemeError(UserError, ValueError):
    """A function of a positional scheme takes or returns something else than it must."""


# The shape that each function must return, by its arguments, and the names of the axes.
_RETURNED: dict[str, tuple[Callable[..., tuple[int, ...]], str]] = {
    "encode": (
        lambda positions, lengths, d_model, table: (positions.shape[0], d_model),
        "length, d_model",
    ),
    "encode_grid": (
        lambda coordinates, d_model: (coordinates.shape[0], d_model),
        "length, d_model",
    ),
    "rotate": (lambda x, positions: x.shape, "length, head_dim"),
    "bias": (
        lambda query, query_positions, key_positions, head, table: (
            query_positions.shape[0],
            key_positions.shape[0],
        ),
        "query_length, key_length",
    ),
}


def checked_scheme(name: str, scheme: PositionalScheme) -> PositionalScheme:
    """Returns a scheme whose functions check their arguments' number and the shape they return.

    Shapes are known while a function is traced, so a compiled program does not contain the check.

    Args:
        name: of the scheme, for messages.
        scheme: any scheme.

    Raises:
        SchemeError: raised by a function of the returned scheme; it is a ValueError.

    Example:
        >>> import jax.numpy as jnp
        >>> wide = PositionalScheme("too wide", rotate=lambda x, _: jnp.ones((3, 8)))
        >>> try:
        ...     checked_scheme("wide", wide).rotate(jnp.ones((3, 7)), jnp.arange(3))
        ... except SchemeError as error:
        ...     print(str(error).partition(", but ")[0])
        rotate of the positional scheme 'wide' returned the shape (3, 8)
    """
    given = {part: getattr(scheme, part) for part in _RETURNED}
    return scheme._replace(
        **{part: function and _checked(name, part, function) for part, function in given.items()}
    )


def _checked(name: str, part: str, function: Callable[..., Array]) -> Callable[..., Array]:
    needed_shape, axes = _RETURNED[part]
    needed_arguments = ", ".join(inspect.signature(needed_shape).parameters)

    def checked(*arguments: Any) -> Array:
        try:
            inspect.signature(function).bind(*arguments)
        except TypeError as error:
            raise SchemeError(
                f"{part} of the positional scheme '{name}' must take {len(arguments)} arguments, "
                f"({needed_arguments}): {error}"
            ) from error
        except ValueError:
            pass  # a compiled function may have no signature
        returned, needed = function(*arguments), needed_shape(*arguments)
        shape = getattr(returned, "shape", None)
        if shape != needed:
            found = type(returned).__name__ if shape is None else f"the shape {shape}"
            raise SchemeError(
                f"{part} of the positional scheme '{name}' returned {found}, but must return "
                f"({axes}) = {needed}"
            )
        return returned

    return checked
