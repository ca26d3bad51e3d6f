import dataclasses
import functools
import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from reference import assert_close

from flax_transformer.functional import (
    SCHEMES,
    Head,
    PositionalScheme,
    RotaryScaling,
    alibi_bias,
    positional_scheme,
    relative_bias,
    rotary,
    t5_bias,
)

LENGTH, D_MODEL, HEAD_DIM, HEADS = 11, 13, 7, 3
POSITIONS, LENGTHS = jnp.arange(LENGTH), jnp.full(LENGTH, LENGTH)
ENCODING = {name: scheme.encode for name, scheme in SCHEMES.items() if scheme.encode}
BIASED = {name: scheme.bias for name, scheme in SCHEMES.items() if scheme.bias}


@pytest.fixture
def encode(normal):
    """Gives what a scheme adds to the embeddings of some positions."""
    table = normal(LENGTH, D_MODEL)

    def encode(name, positions, lengths):
        learned = table if SCHEMES[name].has_table else None
        return ENCODING[name](positions, lengths, D_MODEL, learned)

    return encode


@pytest.fixture
def bias(normal):
    """Gives the biases of one head."""
    query, tables = normal(LENGTH, HEAD_DIM), {}
    for name in BIASED:
        shape = SCHEMES[name].head_table_shape
        tables[name] = normal(*shape(HEAD_DIM)) if shape else None

    def bias(name, query_positions, key_positions, head):
        rows = query[query_positions]
        return BIASED[name](rows, query_positions, key_positions, head, tables[name])

    return bias


@pytest.mark.parametrize("name", SCHEMES)
def test_a_scheme_is_described_in_one_line(name):
    assert len(SCHEMES[name].description.splitlines()) == 1


@pytest.mark.parametrize("name", SCHEMES)
def test_only_none_tells_nothing_and_each_other_scheme_tells_in_one_way(name):
    scheme = SCHEMES[name]
    ways = [way for way in (scheme.encode, scheme.rotate, scheme.bias) if way is not None]
    assert len(ways) == (name != "none")
    assert scheme.encode or not scheme.has_table
    assert scheme.bias or not scheme.head_table_shape


@pytest.mark.parametrize("name", ENCODING)
def test_a_position_is_encoded_the_same_wherever_the_computation_begins(name, encode):
    whole = encode(name, POSITIONS, LENGTHS)
    assert whole.shape == (LENGTH, D_MODEL)
    np.testing.assert_array_equal(whole[3:], encode(name, POSITIONS[3:], LENGTHS[3:]))


@pytest.mark.parametrize("name", ENCODING)
def test_packed_sequences_are_encoded_like_separate_ones(name, encode):
    positions = jnp.concatenate([jnp.arange(5), jnp.arange(3)])
    lengths = jnp.array([5] * 5 + [3] * 3)
    packed = encode(name, positions, lengths)
    np.testing.assert_array_equal(packed[:5], encode(name, positions[:5], lengths[:5]))
    np.testing.assert_array_equal(packed[5:], encode(name, positions[5:], lengths[5:]))


@pytest.mark.parametrize("name", ENCODING)
def test_an_encoding_lifts_over_a_batch(name, encode):
    batch = jnp.stack([POSITIONS, POSITIONS[::-1]]), jnp.stack([LENGTHS, LENGTHS])
    lifted = jax.vmap(functools.partial(encode, name))(*batch)
    for row, *arguments in zip(lifted, *batch, strict=True):
        assert_close(row, encode(name, *arguments), 1e-6)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("name", BIASED)
def test_a_query_is_biased_the_same_alone_and_among_others(name, bias, bidirectional):
    head = Head(1, HEADS, bidirectional)
    whole = bias(name, POSITIONS, POSITIONS, head)
    assert whole.shape == (LENGTH, LENGTH)
    assert_close(bias(name, POSITIONS[5:7], POSITIONS[2:], head), whole[5:7, 2:], 1e-6)


@pytest.mark.parametrize("name", BIASED)
def test_a_bias_lifts_over_heads(name, bias):
    def of_head(index):
        return bias(name, POSITIONS, POSITIONS, Head(index, HEADS, True))

    lifted = jax.vmap(of_head)(jnp.arange(HEADS))
    assert_close(lifted, jnp.stack([of_head(index) for index in range(HEADS)]), 1e-6)


def test_each_head_has_its_own_slope(bias):
    for index in range(HEADS):
        expected = alibi_bias(POSITIONS, POSITIONS, 2 ** (-8 * (index + 1) / HEADS))
        actual = bias("alibi", POSITIONS, POSITIONS, Head(index, HEADS, True))
        assert_close(actual, expected, 1e-6)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_buckets_know_whether_keys_may_come_after(normal, bidirectional):
    table, query = normal(32), normal(LENGTH, HEAD_DIM)
    actual = BIASED["t5"](query, POSITIONS, POSITIONS, Head(0, HEADS, bidirectional), table)
    expected = t5_bias(POSITIONS, POSITIONS, table, bidirectional=bidirectional)
    np.testing.assert_array_equal(actual, expected)


def test_one_scheme_rotates(normal):
    (rotate,) = [scheme.rotate for scheme in SCHEMES.values() if scheme.rotate]
    x = normal(LENGTH, HEAD_DIM)
    np.testing.assert_array_equal(rotate(x, POSITIONS), rotary(x, POSITIONS))


@dataclasses.dataclass
class Options:
    """As a config states the parameters of schemes, among others."""

    rotary_base: float = 500.0
    rotary_layout: str = "halves"
    rotary_scaling: str = "linear"
    rotary_factor: float = 3.0
    relative_max_distance: int = 2
    t5_num_buckets: int = 8
    t5_max_distance: int = 7
    d_model: int = D_MODEL


@pytest.mark.parametrize("name", SCHEMES)
def test_without_options_a_scheme_is_the_published_one(name):
    published, made = SCHEMES[name], positional_scheme(name, object())
    assert made.description == published.description
    if made.head_table_shape is not None:
        assert published.head_table_shape is not None
        assert made.head_table_shape(HEAD_DIM) == published.head_table_shape(HEAD_DIM)


def test_options_are_parameters_of_the_schemes_that_have_them(normal):
    x, key = normal(LENGTH, HEAD_DIM), jnp.arange(2 * LENGTH)
    made: dict[str, Any] = {name: positional_scheme(name, Options()) for name in SCHEMES}
    rotated = rotary(x, POSITIONS, 500.0, "halves", RotaryScaling("linear", 3.0))
    np.testing.assert_array_equal(made["rotary"].rotate(x, POSITIONS), rotated)
    head = Head(0, HEADS, False)
    table = normal(*made["t5"].head_table_shape(HEAD_DIM))
    assert table.shape == (8,)
    np.testing.assert_array_equal(
        made["t5"].bias(x, POSITIONS, key, head, table),
        t5_bias(POSITIONS, key, table, 7, bidirectional=False),
    )
    table = normal(*made["relative"].head_table_shape(HEAD_DIM))
    assert table.shape == (5, HEAD_DIM)
    np.testing.assert_array_equal(
        made["relative"].bias(x, POSITIONS, key, head, table),
        relative_bias(x, POSITIONS, key, table),
    )
    assert made["alibi"] is SCHEMES["alibi"]


def test_a_scheme_from_outside_has_parameters_too(monkeypatch):
    def make(shift: float = 1.0) -> PositionalScheme:
        return PositionalScheme("shifted", rotate=lambda x, _: x + shift, make=make)

    monkeypatch.setitem(SCHEMES, "shifted", make())
    shifted: Any = positional_scheme("shifted", types.SimpleNamespace(shift=3.0))
    assert shifted.rotate(0.0, None) == 3.0
    published: Any = positional_scheme("shifted")
    assert published.rotate(0.0, None) == 1.0


def test_an_unknown_scheme_is_refused():
    with pytest.raises(ValueError, match="no positional scheme 'rotery': known are number, "):
        positional_scheme("rotery")


@pytest.mark.parametrize("length", [1, 5, 100, 101])
def test_a_sequence_is_folded_into_the_smallest_square(length):
    encoded = ENCODING["sinusoidal_2d"](jnp.arange(length), jnp.full(length, length), 4, None)
    side = next(side for side in range(1, 12) if side * side >= length)
    rows, columns = np.divmod(np.arange(length), side)
    expected = [reference.sinusoidal_positions(axis, 2) for axis in (rows, columns)]
    assert_close(encoded, np.concatenate(expected, axis=1), 1e-5)
