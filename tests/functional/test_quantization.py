import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import assert_close

from flax_transformer.functional import (
    EightBitArray,
    embed,
    feed_forward,
    project,
    quantize,
    token_logits,
)

BATCH, LENGTH, HEADS, KEY_DIM, D_MODEL, VOCAB = 2, 5, 3, 7, 11, 13
# Of the axes before those of vectors, of vectors, and of what they become.
SHAPES = [
    ((), (D_MODEL,), (KEY_DIM,)),
    ((BATCH, LENGTH), (D_MODEL,), (HEADS, KEY_DIM)),
    ((BATCH, LENGTH), (HEADS, KEY_DIM), (D_MODEL,)),
    ((BATCH, 0), (D_MODEL,), (KEY_DIM,)),
]


def wide(array):
    """The numbers that an array of 8 bits stands for."""
    return np.asarray(array.values, np.float64) * np.asarray(array.scales, np.float64)


def rounding(inputs, matrix):
    """Bound of what rounding the vectors to two rows of 8 bits changes in products."""
    steps = np.abs(inputs).max(-1, keepdims=True) / 127
    return steps / 508 * np.abs(matrix).sum(0) * 1.01 + 1e-6


@pytest.mark.parametrize(("axis", "shape"), [(0, (11, 3, 7)), ((0, 1), (3, 7, 11)), (-1, (13, 11))])
def test_it_rounds_to_the_nearest_of_255_numbers(normal, axis, shape):
    array = np.asarray(normal(*shape))
    rounded = quantize(array, axis)
    assert rounded.values.dtype == jnp.int8
    assert rounded.shape == shape
    assert np.abs(np.asarray(rounded.values, int)).max(axis).min() == 127
    largest = np.abs(array).max(axis, keepdims=True)
    assert_close(rounded.scales, largest / 127, 1e-6)
    assert (np.abs(wide(rounded) - array) <= largest / 254 * 1.0001).all()


def test_rows_of_zeros_stay_zeros():
    assert not wide(quantize(jnp.zeros((3, 2)))).any()
    assert not project(jnp.zeros(3), quantize(jnp.ones((3, 2)))).any()


@pytest.mark.parametrize(("batch", "summed", "mapped"), SHAPES)
def test_a_projection_has_the_products_of_the_rounded_kernel(normal, batch, summed, mapped):
    num_axes = len(summed)
    inputs, kernel = normal(*batch, *summed), normal(*summed, *mapped)
    rounded = quantize(kernel, tuple(range(num_axes)))
    output = project(inputs, rounded, num_axes)
    assert output.shape == (*batch, *mapped)
    flat = np.asarray(inputs, np.float64).reshape(-1, math.prod(summed))
    matrix = wide(rounded).reshape(math.prod(summed), -1)
    difference = np.asarray(output).reshape(-1, math.prod(mapped)) - flat @ matrix
    assert (np.abs(difference) <= rounding(flat, matrix)).all()


def test_a_table_gives_its_rows_and_logits(normal):
    table, bias, hidden = normal(VOCAB, D_MODEL), normal(VOCAB), normal(BATCH, D_MODEL)
    rounded = quantize(table, -1)
    rows = embed(jnp.array([3, VOCAB, 0, -1]), rounded)
    assert_close(rows[::2], wide(rounded)[[3, 0]], 1e-6)
    assert np.isnan(rows[1::2]).all()
    logits = token_logits(hidden, rounded, bias, cap=2.0)
    matrix = wide(rounded).T
    uncapped = np.asarray(hidden, np.float64) @ matrix + np.asarray(bias)
    bound = rounding(np.asarray(hidden), matrix) + 1e-5
    assert (np.abs(logits - 2 * np.tanh(uncapped / 2)) <= bound).all()


@pytest.mark.platforms
def test_no_product_has_a_wider_factor(normal):
    halves, back = quantize(normal(D_MODEL, 2, KEY_DIM)), quantize(normal(KEY_DIM, D_MODEL))
    arguments = normal(LENGTH, D_MODEL), halves, None, back, None
    text = feed_forward.lower(*arguments, activation="swiglu").as_text()
    products = [line for line in text.splitlines() if "dot_general" in line]
    assert len(products) == 2
    assert all("xi8>" in line and "xf32>" not in line for line in products)


def test_what_is_not_a_number_stays_in_its_row(normal):
    inputs = normal(LENGTH, D_MODEL).at[1, 3].set(jnp.nan)
    output = project(inputs, quantize(normal(D_MODEL, KEY_DIM)))
    assert np.isnan(output[1]).all()
    assert np.isfinite(np.delete(output, 1, axis=0)).all()


def test_gradients_are_refused(normal):
    kernel = quantize(normal(D_MODEL, KEY_DIM))
    with pytest.raises(ValueError, match="no gradients"):
        jax.grad(lambda inputs: project(inputs, kernel).sum())(normal(D_MODEL))


def test_scales_of_other_axes_are_refused(normal):
    kernel, table = normal(HEADS, KEY_DIM, D_MODEL), normal(VOCAB, D_MODEL)
    with pytest.raises(ValueError, match=r"scales \(1, 7, 11\) of values \(3, 7, 11\) must be \(1"):
        project(normal(HEADS, KEY_DIM), quantize(kernel), 2)
    with pytest.raises(ValueError, match=r"scales \(1, 11\) .* must be \(13, 1\)"):
        embed(jnp.array([1]), quantize(table))


@pytest.mark.platforms
def test_other_products_take_the_numbers_that_it_stands_for(normal):
    inputs, rounded = normal(2, D_MODEL), quantize(normal(D_MODEL, KEY_DIM))
    assert_close(inputs @ rounded, np.asarray(inputs, np.float64) @ wide(rounded), 1e-6)
    low = rounded.astype("bfloat16")
    assert (low.dtype, jnp.asarray(low).dtype) == (jnp.bfloat16, jnp.bfloat16)
    assert isinstance(low, EightBitArray)
