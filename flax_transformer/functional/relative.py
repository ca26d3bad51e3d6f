"""Positions inside the attention of one head: rotated queries and keys, biased scores."""

import functools
import math
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flax_transformer.functional.array_types import at_least_float32
from flax_transformer.functional.rotary_scaling import RotaryScaling, rotary_angles

RotaryLayout = Literal["interleaved", "halves"]


@functools.partial(jax.jit, static_argnames=("base", "layout", "scaling"))
def rotary(
    x: Float[Array, "length head_dim"],
    positions: Int[Array, " length"],
    base: float = 10_000.0,
    layout: RotaryLayout = "interleaved",
    scaling: RotaryScaling = RotaryScaling(),  # noqa: B008
) -> Float[Array, "length head_dim"]:
    """Rotates each pair of features by an angle that grows with the position.

    interleaved:  y_2i       = x_2i cos(position theta_i) - x_2i+1 sin(position theta_i)
                  y_2i+1     = x_2i sin(position theta_i) + x_2i+1 cos(position theta_i)
    halves:       the same, where feature i is paired with feature half + i
    with half = floor(head_dim / 2), and theta_i = base^(-2i / head_dim) unless it is scaled

    Apply it to both queries and keys, so that their products depend only on distances. Angles and
    rotation are computed in float32 at least: 16 bits cannot distinguish large positions.

    Args:
        x: queries or keys of one head. If head_dim is odd, the last feature is unchanged, and theta
            counts only the others.
        positions: counted in tokens, from 0.
        base: the longest wavelength is nearly base times 2 pi tokens.
        layout: which features are pairs: `interleaved` as in the paper, or `halves` as in GPT-NeoX
            and in the Llama of Hugging Face.
        scaling: the change of theta for longer texts, see `rotary_angles`.

    Returns:
        The rotated features, in the type of x and with the same lengths as vectors.

    Raises:
        ValueError: if x and positions differ in length, or the layout is unknown.

    Example:
        >>> rotary(jnp.array([[1.0, 0.0]]), jnp.array([1])).round(3).tolist()
        [[0.5400000214576721, 0.8410000205039978]]

    Reference:
        Su et al. 2021, "RoFormer", section 3.4.2, equation 34.
    """
    if x.shape[:1] != positions.shape:
        raise ValueError(f"x {x.shape} and positions {positions.shape} differ in length")
    if layout not in ("interleaved", "halves"):
        raise ValueError(f"layout must be interleaved or halves, not {layout}")
    dtype = at_least_float32(x.dtype)
    paired = x.shape[1] // 2 * 2
    angles = rotary_angles(positions, paired // 2, base, scaling, dtype)
    cosines, sines = jnp.cos(angles), jnp.sin(angles)
    wide = x[:, :paired].astype(dtype)
    is_interleaved = layout == "interleaved"
    first, second = (wide[:, 0::2], wide[:, 1::2]) if is_interleaved else jnp.split(wide, 2, axis=1)
    pairs = [first * cosines - second * sines, first * sines + second * cosines]
    rotated = jnp.stack(pairs, axis=-1) if is_interleaved else jnp.concatenate(pairs, axis=1)
    rotated = rotated.reshape(x.shape[0], paired).astype(x.dtype)
    return jnp.concatenate([rotated, x[:, paired:]], axis=1)


@functools.partial(jax.jit, static_argnames=("num_heads", "dtype"))
def alibi_slope(
    head: Int[Array, ""] | int, num_heads: int, dtype: jax.typing.DTypeLike = "float32"
) -> Float[Array, ""]:
    """Returns the slope of a head's linear bias: the heads' slopes are a geometric sequence.

    slope = 2^(-8 (head + 1) / num_heads)

    Args:
        head: number of the head, from 0.
        num_heads: number of heads of the layer.
        dtype: type of the slope, independent of JAX's default.

    Returns:
        The slope, in (0, 1).

    Raises:
        ValueError: if num_heads is not positive.

    Example:
        >>> [float(alibi_slope(head, 8)) for head in (0, 1, 7)]
        [0.5, 0.25, 0.00390625]

    Reference:
        Press et al. 2022, "Train Short, Test Long", section 3.
    """
    if num_heads < 1:
        raise ValueError(f"num_heads must be positive, not {num_heads}")
    return 2.0 ** (-8.0 * (jnp.asarray(head, dtype) + 1) / num_heads)


@jax.jit
def alibi_bias(
    query_positions: Int[Array, " query_length"],
    key_positions: Int[Array, " key_length"],
    slope: Float[Array, ""] | float,
) -> Float[Array, "query_length key_length"]:
    """Penalizes a key in proportion to its distance from the query.

    bias_ij = -slope |i - j|

    Args:
        query_positions: counted in tokens, from 0.
        key_positions: counted likewise.
        slope: penalty of one token of distance, see `alibi_slope`.

    Returns:
        The bias to add to the scaled scores of one head, float32 at least.

    Example:
        >>> alibi_bias(jnp.array([2]), jnp.arange(4), 0.5).tolist()
        [[-1.0, -0.5, -0.0, -0.5]]

    Reference:
        Press et al. 2022, section 3, for causal attention; |i - j| extends it to both sides.
    """
    slope = jnp.asarray(slope)
    slope = slope.astype(at_least_float32(slope.dtype))
    return -slope * jnp.abs(_distances(query_positions, key_positions)).astype(slope.dtype)


@jax.jit
def relative_bias(
    query: Float[Array, "query_length head_dim"],
    query_positions: Int[Array, " query_length"],
    key_positions: Int[Array, " key_length"],
    table: Float[Array, "distances head_dim"],
) -> Float[Array, "query_length key_length"]:
    """Scores each query against a learned vector for its distance to the key.

    bias_ij = query_i . table[clip(j - i, -k, k) + k] / sqrt(head_dim)

    This is the keys' part of the paper's method. Its table 3 reports the same BLEU without the
    values' part.

    Args:
        query: queries of one head, before they are scaled.
        query_positions: counted in tokens, from 0.
        key_positions: counted likewise.
        table: 2k + 1 vectors, for the distances -k to k; larger distances share the last one.

    Returns:
        The bias to add to the scaled scores of one head, float32 at least.

    Raises:
        ValueError: if the shapes do not fit each other, or the table has an even number of rows.

    Example:
        >>> table = jnp.array([[1.0], [2.0], [3.0]])  # k = 1
        >>> relative_bias(jnp.ones((1, 1)), jnp.array([2]), jnp.arange(5), table).tolist()
        [[1.0, 1.0, 2.0, 3.0, 3.0]]

    Reference:
        Shaw et al. 2018, "Self-Attention with Relative Position Representations", sections 3.2
        to 3.4.
    """
    fits = query.ndim == table.ndim == 2 and query.shape[1] == table.shape[1]
    if not fits or table.shape[0] % 2 == 0:
        raise ValueError(
            f"the table {table.shape} must be (2k + 1, head_dim) for a query {query.shape}"
        )
    if query.shape[:1] != query_positions.shape:
        raise ValueError(f"query {query.shape} and positions {query_positions.shape} differ")
    largest = table.shape[0] // 2
    scaled = query * jnp.asarray(query.shape[1] ** -0.5, query.dtype)
    # All distances first: [query_length, 2k + 1] products, instead of a vector for every pair.
    products = jnp.einsum(
        "qd,rd->qr", scaled, table, preferred_element_type=at_least_float32(query.dtype)
    )
    distances = jnp.clip(_distances(query_positions, key_positions), -largest, largest)
    return jnp.take_along_axis(products, distances + largest, axis=1)


@functools.partial(jax.jit, static_argnames=("num_buckets", "max_distance", "bidirectional"))
def t5_bucket(
    distances: Int[Array, "*shape"],
    num_buckets: int = 32,
    max_distance: int = 128,
    bidirectional: bool = True,
) -> Int[Array, "*shape"]:
    """Assigns distances to buckets: near ones exactly, far ones by their logarithm.

    bucket(d) = d                                                       if d < e
                min(e + floor(e log(d / e) / log(max_distance / e)), n - 1)  otherwise
    with d = |distance|, n buckets a direction and e = n / 2

    Args:
        distances: key position - query position, in tokens.
        num_buckets: number of buckets. With two directions, each gets half of them; keys after the
            query get the upper half.
        max_distance: this and larger distances share the last bucket, in tokens.
        bidirectional: whether keys may come after the query; if not, such keys get bucket 0.

    Returns:
        The bucket numbers, from 0.

    Raises:
        ValueError: if num_buckets cannot be divided, or max_distance does not exceed the exact
            buckets.

    Example:
        >>> t5_bucket(jnp.array([0, -1, -7, -8, -127, 1])).tolist()
        [0, 1, 7, 8, 15, 17]

    Reference:
        Raffel et al. 2020, "Exploring the Limits of Transfer Learning", section 2.1.
    """
    divisor = 4 if bidirectional else 2
    if num_buckets < divisor or num_buckets % divisor:
        raise ValueError(f"num_buckets must be a multiple of {divisor}, not {num_buckets}")
    each = num_buckets // 2 if bidirectional else num_buckets
    exact = each // 2
    if max_distance <= exact:
        raise ValueError(f"max_distance must exceed {exact} exact buckets, not {max_distance}")
    far = jnp.abs(distances) if bidirectional else jnp.maximum(-distances, 0)
    steps = jnp.log(jnp.maximum(far, exact) / exact) / math.log(max_distance / exact)
    # The margin corrects integers that rounding has made slightly too small.
    logarithmic = exact + jnp.floor(steps * (each - exact) + 1e-5).astype(far.dtype)
    bucket = jnp.where(far < exact, far, jnp.minimum(logarithmic, each - 1))
    return bucket + jnp.where(distances > 0, each, 0) if bidirectional else bucket


@functools.partial(jax.jit, static_argnames=("max_distance", "bidirectional"))
def t5_bias(
    query_positions: Int[Array, " query_length"],
    key_positions: Int[Array, " key_length"],
    table: Float[Array, " num_buckets"],
    max_distance: int = 128,
    bidirectional: bool = True,
) -> Float[Array, "query_length key_length"]:
    """Looks up a learned bias for the bucket of each distance.

    bias_ij = table[bucket(j - i)]

    Args:
        query_positions: counted in tokens, from 0.
        key_positions: counted likewise.
        table: one number a bucket, of one head.
        max_distance: this and larger distances share the last bucket, in tokens.
        bidirectional: whether keys may come after the query, see `t5_bucket`.

    Returns:
        The bias to add to the scores of one head, in the type of the table.

    Raises:
        ValueError: if the table is not a vector, or its length cannot be divided into buckets.

    Example:
        >>> table = jnp.array([0.0, 1.0, 2.0, 3.0])  # before: 0, 1; after: 2, 3
        >>> t5_bias(jnp.array([1]), jnp.arange(3), table, max_distance=2).tolist()
        [[1.0, 0.0, 3.0]]

    Reference:
        Raffel et al. 2020, section 2.1.
    """
    if table.ndim != 1:
        raise ValueError(f"the table {table.shape} must be [num_buckets]")
    distances = _distances(query_positions, key_positions)
    return table[t5_bucket(distances, table.shape[0], max_distance, bidirectional)]


def _distances(query_positions: Array, key_positions: Array) -> Array:
    """Key minus query position, j - i: positive where the key comes after the query."""
    if query_positions.ndim != 1 or key_positions.ndim != 1:
        raise ValueError(
            f"query positions {query_positions.shape} and key positions {key_positions.shape} "
            "must have one axis each"
        )
    return key_positions[None, :] - query_positions[:, None]
