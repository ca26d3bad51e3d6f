from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from jax.test_util import check_grads
from reference import assert_close

from flax_transformer.functional import (
    RotaryScaling,
    alibi_bias,
    alibi_slope,
    relative_bias,
    rotary,
    rotary_angles,
    t5_bias,
    t5_bucket,
)

UNSCALED = RotaryScaling()
QUERIES, KEYS, HEAD_DIM = 5, 11, 7
# Neither sorted nor from 0: positions of a packed row, read from a cache.
QUERY_POSITIONS, KEY_POSITIONS = jnp.array([3, 97, 4, 0, 53]), jnp.arange(KEYS) * 3


@pytest.mark.parametrize("head_dim", [1, 2, 6, 7])
def test_a_rotation_is_a_product_of_complex_numbers(normal, tolerance, head_dim):
    x = normal(QUERIES, head_dim)
    expected = reference.rotary(x, QUERY_POSITIONS.tolist())
    assert_close(rotary(x, QUERY_POSITIONS), expected, tolerance)


def test_the_base_of_a_rotation_is_its_longest_wavelength(normal):
    x = normal(QUERIES, HEAD_DIM)
    expected = reference.rotary(x, QUERY_POSITIONS.tolist(), base=17)
    assert_close(rotary(x, QUERY_POSITIONS, 17.0), expected, 1e-5)


@pytest.mark.parametrize("head_dim", [1, 2, 6, 7])
def test_pairs_of_halves_are_those_of_neighbors_in_another_order(normal, tolerance, head_dim):
    x, half = normal(QUERIES, head_dim), head_dim // 2
    order = [*np.arange(2 * half).reshape(2, half).T.ravel(), *range(2 * half, head_dim)]
    expected = rotary(x[:, np.array(order)], QUERY_POSITIONS)
    rotated = rotary(x, QUERY_POSITIONS, layout="halves")
    assert_close(rotated[:, np.array(order)], expected, tolerance)


@pytest.mark.parametrize("kind", ["linear", "llama3", "yarn"])
def test_scaled_frequencies_are_kept_where_pairs_turn_often(kind):
    """Pair i of 16 turns 1000 * 10,000^(-i / 16) / (2 pi) times in 1000 tokens."""
    scaling = RotaryScaling(kind, factor=5.0, first_length=1000, turns=(0.5, 40.0))
    plain, scaled = (rotary_angles(jnp.ones(1, int), 16, scaling=x)[0] for x in (UNSCALED, scaling))
    shares = np.asarray(5 * scaled / plain, np.float64)
    if kind == "linear":
        return assert_close(shares, np.ones(16), 1e-6)
    turns = 1000 * 10_000.0 ** (-np.arange(16) / 16) / (2 * np.pi)
    np.testing.assert_allclose(shares[turns > 40], 5, rtol=1e-6)
    np.testing.assert_allclose(shares[turns < 0.4], 1, rtol=1e-6)
    between = (turns < 40) & (turns > 0.5)
    if kind == "llama3":
        kept = (turns[between] - 0.5) / 39.5
    else:
        first, last = (np.log(159.155 / n) / np.log(10_000) * 16 for n in (40, 0.5))
        index = np.arange(16)[between]
        kept = 1 - (index - np.floor(first)) / (np.ceil(last) - np.floor(first))
    assert 3 <= between.sum() < 16
    assert_close(shares[between], 1 + 4 * kept, 1e-5)


def test_a_rotation_has_the_scaled_frequencies(normal):
    x = normal(QUERIES, HEAD_DIM)
    scaled = rotary(x, 3 * QUERY_POSITIONS, scaling=RotaryScaling("linear", 3.0))
    assert_close(scaled, rotary(x, QUERY_POSITIONS), 1e-5)


@pytest.mark.usefixtures("unchecked_types")
def test_an_unknown_scaling_of_a_rotation_is_refused():
    scaling: Any = RotaryScaling("ntk")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="scaling must be none, linear, llama3 or yarn, not ntk"):
        rotary_angles(QUERY_POSITIONS, 2, scaling=scaling)


@pytest.mark.usefixtures("unchecked_types")
def test_an_unknown_layout_of_a_rotation_is_refused(normal):
    with pytest.raises(ValueError, match="layout must be interleaved or halves, not pairs"):
        rotary(normal(QUERIES, 2), QUERY_POSITIONS, layout="pairs")  # pyright: ignore[reportArgumentType]


def test_products_of_rotated_vectors_depend_on_distances_alone(normal, double):
    query, key = normal(QUERIES, HEAD_DIM), normal(KEYS, HEAD_DIM)
    near, far = (
        rotary(query, QUERY_POSITIONS + first) @ rotary(key, KEY_POSITIONS + first).T
        for first in (0, 1009)
    )
    assert_close(near, far, 1e-12)


def test_a_rotation_of_16_bits_is_computed_in_32(normal):
    x = normal(QUERIES, HEAD_DIM)
    rotated = rotary(x.astype(jnp.bfloat16), QUERY_POSITIONS + 1000)
    assert rotated.dtype == jnp.bfloat16
    assert_close(rotated, reference.rotary(x, (QUERY_POSITIONS + 1000).tolist()), 2**-7)


@pytest.mark.parametrize("num_heads", [1, 7, 8])
def test_slopes_of_heads_are_a_geometric_sequence(num_heads):
    slopes = jax.vmap(lambda head: alibi_slope(head, num_heads))(jnp.arange(num_heads))
    expected = [2 ** (-8 * (head + 1) / num_heads) for head in range(num_heads)]
    np.testing.assert_allclose(slopes, expected, rtol=1e-6)


def test_a_linear_bias_falls_with_the_distance():
    bias = alibi_bias(QUERY_POSITIONS, KEY_POSITIONS, 0.25)
    for (q, k), value in np.ndenumerate(bias):
        assert value == -0.25 * abs(int(QUERY_POSITIONS[q]) - int(KEY_POSITIONS[k]))


@pytest.mark.parametrize("rows", [1, 3, 13])
def test_a_relative_bias_is_the_query_times_the_vector_of_the_distance(normal, tolerance, rows):
    query, table = normal(QUERIES, HEAD_DIM), normal(rows, HEAD_DIM)
    actual = relative_bias(query, QUERY_POSITIONS, KEY_POSITIONS, table)
    positions = QUERY_POSITIONS.tolist(), KEY_POSITIONS.tolist()
    assert_close(actual, reference.relative_bias(query, *positions, table), tolerance)


def test_relative_biases_of_16_bits_join_the_scores_in_32(normal):
    query, table = (x.astype(jnp.bfloat16) for x in (normal(5, HEAD_DIM), normal(3, HEAD_DIM)))
    bias = relative_bias(query, QUERY_POSITIONS, KEY_POSITIONS, table)
    assert bias.dtype == jnp.float32
    positions = QUERY_POSITIONS.tolist(), KEY_POSITIONS.tolist()
    assert_close(bias, reference.relative_bias(query, *positions, table), 2**-7)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("num_buckets", "max_distance"), [(32, 128), (8, 17), (12, 1009)])
def test_buckets_are_exact_nearby_and_logarithmic_far_away(
    num_buckets, max_distance, bidirectional, tolerance
):
    distances = np.arange(-max_distance - 3, max_distance + 3)
    sizes = num_buckets, max_distance, bidirectional
    expected = [reference.t5_bucket(distance, *sizes) for distance in distances]
    np.testing.assert_array_equal(t5_bucket(jnp.asarray(distances), *sizes), expected)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_buckets_are_those_of_hugging_face(bidirectional):
    reason = "compares with transformers, the extra `parity`"
    torch = pytest.importorskip("torch", reason=reason)
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5", reason=reason)
    distances = np.arange(-307, 307)
    expected = t5.T5Attention._relative_position_bucket(
        torch.tensor(distances), bidirectional=bidirectional, num_buckets=32, max_distance=128
    )
    actual = t5_bucket(jnp.asarray(distances), bidirectional=bidirectional)
    np.testing.assert_array_equal(actual, expected.numpy())


@pytest.mark.parametrize("bidirectional", [True, False])
def test_a_bucketed_bias_is_looked_up(normal, bidirectional):
    table = normal(8)
    bias = t5_bias(QUERY_POSITIONS, KEY_POSITIONS, table, 17, bidirectional)
    for (q, k), value in np.ndenumerate(bias):
        distance = int(KEY_POSITIONS[k]) - int(QUERY_POSITIONS[q])
        assert value == table[reference.t5_bucket(distance, 8, 17, bidirectional)]


def test_what_is_learned_has_the_right_gradient(normal, double):
    query, vectors, numbers = normal(QUERIES, HEAD_DIM), normal(5, HEAD_DIM), normal(8)
    positions = QUERY_POSITIONS, KEY_POSITIONS
    check_grads(lambda q, t: relative_bias(q, *positions, t), (query, vectors), order=1)
    check_grads(lambda t: t5_bias(*positions, t), (numbers,), order=1)
    check_grads(lambda q: rotary(q, QUERY_POSITIONS), (query,), order=1)


@pytest.mark.usefixtures("unchecked_types")
def test_shapes_that_do_not_fit_are_refused(normal):
    query, positions = normal(QUERIES, HEAD_DIM), (QUERY_POSITIONS, KEY_POSITIONS)
    with pytest.raises(ValueError, match=r"x \(5, 7\) and positions \(11,\)"):
        rotary(query, KEY_POSITIONS)
    for rows, width in [(4, HEAD_DIM), (3, 13)]:
        with pytest.raises(ValueError, match=rf"table \({rows}, {width}\) must .* \(5, 7\)"):
            relative_bias(query, *positions, normal(rows, width))
    with pytest.raises(ValueError, match=r"table \(7,\) must .* \(7,\)"):
        relative_bias(query[0], *positions, query[0])
    with pytest.raises(ValueError, match=r"query \(5, 7\) and positions \(11,\)"):
        relative_bias(query, KEY_POSITIONS, KEY_POSITIONS, normal(3, HEAD_DIM))
    with pytest.raises(ValueError, match=r"query positions \(1, 5\) and key positions \(11,\)"):
        alibi_bias(QUERY_POSITIONS[None], KEY_POSITIONS, 0.5)
    with pytest.raises(ValueError, match=r"table \(8, 1\) must be \[num_buckets\]"):
        t5_bias(*positions, normal(8, 1))


@pytest.mark.parametrize(("num_buckets", "bidirectional"), [(0, False), (2, True), (7, False)])
def test_buckets_that_cannot_be_divided_are_refused(num_buckets, bidirectional):
    with pytest.raises(ValueError, match=f"num_buckets must be a multiple .* not {num_buckets}"):
        t5_bucket(KEY_POSITIONS, num_buckets, bidirectional=bidirectional)


def test_numbers_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="max_distance must exceed 8 exact buckets, not 8"):
        t5_bucket(KEY_POSITIONS, max_distance=8)
    with pytest.raises(ValueError, match="num_heads must be positive, not 0"):
        alibi_slope(0, 0)
