"""Random trials of the blocks of Threefry, written so that XLA computes each block once."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, UInt32

from flax_transformer.functional.dropout import pack
from flax_transformer.functional.kernels.rows_on_mesh import keep_rows

# Constants of Threefry-2x32 with twenty rounds, as JAX has them.
_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_PARITY = 0x1BD11BDA
_NUM_ROUNDS = 20
_NUM_PARTS = 2

Words = UInt32[Array, "rows blocks"]


def threefry_trials(
    key: UInt32[Array, "2"], rows: UInt32[Array, " rows"], threshold: int, num_blocks: int
) -> Words:
    """Draws the trials of the blocks of some rows, four in a word."""
    draw = functools.partial(_draw, threshold=threshold, num_blocks=num_blocks)
    # Otherwise every device of a mesh would draw for all rows.
    rows = keep_rows(rows)
    drawn = jax.lax.platform_dependent(
        key, rows, cpu=functools.partial(draw, num_parts=_NUM_PARTS), default=draw
    )
    return keep_rows(drawn)


def _draw(
    key: UInt32[Array, "2"],
    rows: UInt32[Array, " rows"],
    *,
    threshold: int,
    num_blocks: int,
    num_parts: int = 1,
) -> Words:
    """Draws the trials of some rows, a byte each, four in a word.

    A CPU draws them in a loop over several parts of the rows. The results of a loop are in memory;
    otherwise XLA would repeat the whole block for each trial that is read from it.
    """

    def part(rows: UInt32[Array, " rows"]) -> Words:
        counters = jax.lax.broadcasted_iota(jnp.uint32, (rows.shape[0], num_blocks), 1)
        return pack(*_threefry(key, rows[:, None], counters), threshold)

    if num_parts == 1:
        return part(rows)
    filled = jnp.pad(rows, (0, -rows.shape[0] % num_parts)).reshape(
        num_parts, -(-rows.shape[0] // num_parts)
    )
    drawn = jax.lax.map(part, filled)
    return drawn.reshape(filled.size, num_blocks)[: rows.shape[0]]


def _threefry(
    key: UInt32[Array, "2"], rows: UInt32[Array, "rows 1"], counters: Words
) -> tuple[Words, Words]:
    first, second = key
    schedule = (first, second, first ^ second ^ jnp.uint32(_PARITY))
    a, b = rows + schedule[0], counters + schedule[1]
    for number in range(_NUM_ROUNDS):
        a = a + b
        b = _rotate(b, _ROTATIONS[number % len(_ROTATIONS)]) ^ a
        if number % 4 == 3:
            injection = number // 4 + 1
            a = a + schedule[injection % 3]
            b = b + schedule[(injection + 1) % 3] + jnp.uint32(injection)
    return a, b


def _rotate(bits: Words, distance: int) -> Words:
    return (bits << jnp.uint32(distance)) | (bits >> jnp.uint32(32 - distance))
