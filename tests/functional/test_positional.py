import re
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from reference import assert_close

from flax_transformer.functional import (
    learned_positions,
    position_numbers,
    resize_position_table,
    scaled_positions,
    sinusoidal_2d_positions,
    sinusoidal_positions,
)
from flax_transformer.functional.positional import ResizeMethod

LENGTH, D_MODEL = 11, 13
METHODS = get_args(ResizeMethod)
POSITIONS = jnp.array([0, 1, 2, 17, 97])


def test_a_number_stands_in_the_first_column_alone():
    encodings = position_numbers(POSITIONS, D_MODEL)
    np.testing.assert_array_equal(encodings[:, 0], POSITIONS)
    assert encodings.shape == (5, D_MODEL)
    assert not encodings[:, 1:].any()


def test_a_number_survives_layer_normalization(normal):
    embedded = normal(D_MODEL)
    first, last = (embedded + position_numbers(jnp.array([n]), D_MODEL)[0] for n in (0, 5))
    change = np.abs(reference.layer_norm(last) - reference.layer_norm(first)).max()
    assert change > 0.1
    assert_close(reference.layer_norm(embedded + 5), reference.layer_norm(embedded), 1e-5)


def test_scaled_positions_are_shares_of_their_own_sequence(tolerance):
    # Two sequences in one row, of 5 tokens and of 1.
    positions, lengths = jnp.array([0, 1, 2, 3, 4, 0]), jnp.array([5, 5, 5, 5, 5, 1])
    encodings = scaled_positions(positions, lengths, D_MODEL, jnp.result_type(float))
    assert_close(encodings[:, 0], [0, 0.25, 0.5, 0.75, 1, 0], tolerance)
    assert not encodings[:, 1:].any()


@pytest.mark.parametrize("d_model", [1, 2, 12, 13])
def test_sinusoids_have_the_layout_of_the_paper(d_model, tolerance):
    expected = reference.sinusoidal_positions(POSITIONS.tolist(), d_model)
    actual = sinusoidal_positions(POSITIONS, d_model, dtype=jnp.result_type(float))
    assert_close(actual, expected, tolerance)


@pytest.mark.parametrize("d_model", [2, 3, 12, 13])
def test_halves_have_the_layout_of_t2t(d_model, tolerance):
    expected = reference.sinusoidal_halves(POSITIONS.tolist(), d_model)
    dtype = jnp.result_type(float)
    actual = sinusoidal_positions(POSITIONS, d_model, layout="halves", dtype=dtype)
    assert_close(actual, expected, tolerance)


@pytest.mark.parametrize("d_model", [2, 3, 12, 13])
def test_blocks_have_the_wavelengths_of_the_paper(d_model, tolerance):
    dtype = jnp.result_type(float)
    even = d_model // 2 * 2
    expected = np.zeros((LENGTH, d_model))
    for i in range(even // 2):
        angles = np.arange(LENGTH) / 10_000 ** (2 * i / d_model)
        expected[:, i], expected[:, even // 2 + i] = np.sin(angles), np.cos(angles)
    actual = sinusoidal_positions(jnp.arange(LENGTH), d_model, layout="blocks", dtype=dtype)
    assert_close(actual, expected, tolerance)


@pytest.mark.parametrize("layout", ["interleaved", "halves", "blocks"])
def test_the_product_of_two_sinusoids_depends_on_their_distance_alone(layout):
    near, far = (
        sinusoidal_positions(first + jnp.arange(LENGTH), 12, layout=layout) for first in (0, 53)
    )
    assert_close(near @ near.T, far @ far.T, 1e-5)


def test_base_is_the_longest_wavelength():
    # The slowest sine of width 2 d has the frequency base^(-(d - 1) / d).
    slowest = sinusoidal_positions(jnp.array([1]), 4, base=25.0)[0, 2]
    np.testing.assert_allclose(slowest, np.sin(1 / 5), rtol=1e-6)
    slowest = sinusoidal_positions(jnp.array([1]), 4, base=25.0, layout="halves")[0, 1]
    np.testing.assert_allclose(slowest, np.sin(1 / 25), rtol=1e-6)


@pytest.mark.parametrize(("d_model", "row_width"), [(12, 6), (13, 7)])
def test_a_grid_has_rows_in_one_half_and_columns_in_the_other(d_model, row_width, tolerance):
    coordinates = jnp.array([[0, 5], [3, 0], [7, 11]])
    rows, columns = np.asarray(coordinates).T
    expected = [
        reference.sinusoidal_positions(rows, row_width),
        reference.sinusoidal_positions(columns, d_model - row_width),
    ]
    actual = sinusoidal_2d_positions(coordinates, d_model, dtype=jnp.result_type(float))
    assert_close(actual, np.concatenate(expected, axis=1), tolerance)


def test_learned_positions_are_rows_and_none_beyond_the_table(normal):
    table = normal(5, D_MODEL)
    rows = learned_positions(jnp.array([4, 0, 5, 97]), table)
    np.testing.assert_array_equal(rows[:2], table[jnp.array([4, 0])])
    assert jnp.isnan(rows[2:]).all()


def test_only_rows_that_are_looked_up_learn(normal):
    gradient = jax.grad(lambda table: learned_positions(jnp.array([3, 1, 3]), table).sum())
    np.testing.assert_array_equal(gradient(normal(5, D_MODEL))[:, 0], [0, 1, 0, 2, 0])


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    "encode",
    [
        sinusoidal_positions,
        position_numbers,
        lambda positions, d_model: scaled_positions(positions, positions, d_model),
    ],
)
@pytest.mark.parametrize("d_model", [0, -3])
def test_an_encoding_without_width_is_refused(encode, d_model):
    with pytest.raises(ValueError, match=f"d_model must be positive, not {d_model}"):
        encode(jnp.arange(LENGTH), d_model)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize("positions", [jnp.int32(3), jnp.zeros((2, LENGTH), int)])
def test_what_is_no_row_is_refused(positions, normal):
    message = rf"positions {re.escape(str(positions.shape))} must be one row"
    for encode in (sinusoidal_positions, position_numbers):
        with pytest.raises(ValueError, match=message):
            encode(positions, D_MODEL)
    with pytest.raises(ValueError, match=message):
        learned_positions(positions, normal(5, D_MODEL))


@pytest.mark.usefixtures("unchecked_types")
def test_what_does_not_fit_is_refused(normal):
    with pytest.raises(ValueError, match=r"11 positions do not fit a table \(5, 13\)"):
        learned_positions(jnp.arange(LENGTH), normal(5, D_MODEL))
    with pytest.raises(ValueError, match=r"positions \(5,\) and lengths \(11,\)"):
        scaled_positions(POSITIONS, jnp.arange(LENGTH), D_MODEL)
    with pytest.raises(ValueError, match=r"coordinates \(11,\) must be \[length, 2\]"):
        sinusoidal_2d_positions(jnp.arange(LENGTH), D_MODEL)
    with pytest.raises(ValueError, match="d_model must be at least 2, not 1"):
        sinusoidal_2d_positions(jnp.zeros((LENGTH, 2), int), 1)
    with pytest.raises(ValueError, match="interleaved, halves or blocks, not thirds"):
        sinusoidal_positions(POSITIONS, D_MODEL, layout="thirds")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("method", METHODS)
class TestResizing:
    grid, before = (3, 5), 2

    @pytest.fixture
    def table(self, normal):
        return normal(self.before + 3 * 5, D_MODEL)

    def test_the_same_grid_keeps_its_table(self, table, method):
        assert_close(resize_position_table(table, self.grid, self.grid, method), table, 1e-6)

    @pytest.mark.parametrize("new_grid", [(7, 11), (2, 3), (3, 1)])
    def test_rows_before_the_grid_stay_and_a_constant_stays_constant(self, table, method, new_grid):
        resized = resize_position_table(table, self.grid, new_grid, method)
        assert resized.shape == (self.before + new_grid[0] * new_grid[1], D_MODEL)
        np.testing.assert_array_equal(resized[: self.before], table[: self.before])
        constant = jnp.full((15, 2), 3.0)
        assert_close(
            resize_position_table(constant, self.grid, new_grid, method),
            np.full((new_grid[0] * new_grid[1], 2), 3.0),
            1e-6,
        )

    def test_a_larger_grid_of_row_and_column_numbers_holds_those_of_its_cells(self, method):
        """Away from the edges, where nothing is to interpolate from."""
        (rows, columns), (new_rows, new_columns) = (11, 13), (22, 39)
        table = jnp.asarray(list(np.ndindex(rows, columns)), jnp.float32)
        resized = resize_position_table(table, (rows, columns), (new_rows, new_columns), method)
        expected = [
            ((i + 0.5) / 2 - 0.5, (j + 0.5) / 3 - 0.5) for i, j in np.ndindex(new_rows, new_columns)
        ]
        inner = np.s_[6:-6, 9:-9]
        actual, expected = (
            np.asarray(x).reshape(new_rows, new_columns, 2)[inner] for x in (resized, expected)
        )
        assert_close(actual, expected, 1e-5)

    @pytest.mark.usefixtures("unchecked_types")
    def test_an_unknown_method_is_named(self, table, method):
        with pytest.raises(ValueError, match=f"must be bilinear or bicubic, not {method[::-1]}"):
            resize_position_table(table, self.grid, self.grid, method[::-1])
