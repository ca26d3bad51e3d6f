from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import assert_close

from flax_transformer.functional import convolve
from flax_transformer.modules.token_embedding import TokenConvolution

LENGTH, FEATURES, OUTPUTS = 11, 5, 7
# Padding on either side, between texts too, and the first text's number again.
SEGMENTS = (0, 1, 1, 1, 2, 0, 2, 1, 1, 1, 0)


def by_hand(inputs, kernel, bias, segments):
    inputs, kernel, bias = (np.asarray(array, np.float64) for array in (inputs, kernel, bias))
    outputs = np.repeat(bias[None], len(inputs), axis=0)
    for i in range(len(inputs)):
        for j in range(len(kernel)):
            neighbor = i + j - (len(kernel) - 1) // 2
            if 0 <= neighbor < len(inputs) and segments[neighbor] == segments[i] != 0:
                outputs[i] += inputs[neighbor] @ kernel[j]
    return outputs


@pytest.mark.parametrize("width", [1, 2, 3, 4, 2 * LENGTH + 1])
@pytest.mark.parametrize("segments", [(1,) * LENGTH, SEGMENTS], ids=["one text", "several texts"])
def test_each_token_is_mixed_with_its_neighbors(normal, tolerance, width, segments):
    arrays = normal(LENGTH, FEATURES), normal(width, FEATURES, OUTPUTS), normal(OUTPUTS)
    expected = by_hand(*arrays, segments)
    assert_close(convolve(*arrays, jnp.array(segments)), expected, tolerance)
    if set(segments) == {1}:
        np.testing.assert_array_equal(convolve(*arrays), convolve(*arrays, jnp.array(segments)))


@pytest.mark.parametrize("width", [3, 4])
def test_it_is_the_convolution_of_jax(normal, tolerance, width):
    inputs, kernel = normal(LENGTH, FEATURES), normal(width, FEATURES, OUTPUTS)
    expected = jax.lax.conv_general_dilated(
        inputs[None], kernel, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
    )[0]
    assert_close(convolve(inputs, kernel, jnp.zeros(OUTPUTS)), expected, tolerance)


def test_what_padding_holds_has_no_influence_and_no_gradient(normal):
    kernel, bias, segments = normal(3, FEATURES, OUTPUTS), normal(OUTPUTS), jnp.array(SEGMENTS)
    inputs = normal(LENGTH, FEATURES)
    is_token = (segments != 0)[:, None]
    unclean = jnp.where(is_token, inputs, jnp.nan)
    np.testing.assert_array_equal(
        convolve(unclean, kernel, bias, segments), convolve(inputs, kernel, bias, segments)
    )
    gradient = jax.grad(lambda x: jnp.sin(convolve(x, kernel, bias, segments)).sum())(inputs)
    np.testing.assert_array_equal((gradient != 0).any(axis=1), is_token[:, 0])


@pytest.mark.usefixtures("unchecked_types")
def test_segments_of_another_length_are_named(normal):
    with pytest.raises(ValueError, match=r"segments \(3,\) must be one for each of 11 tokens"):
        convolve(
            normal(LENGTH, FEATURES),
            normal(3, FEATURES, OUTPUTS),
            normal(OUTPUTS),
            jnp.ones(3, jnp.int32),
        )


def test_the_module_convolves_each_row_with_its_own_segments(normal):
    inputs = normal(2, LENGTH, FEATURES)
    segments = jnp.array([SEGMENTS, SEGMENTS[::-1]])
    module = TokenConvolution(width=3)
    variables: Any = jax.jit(module.init)(jax.random.key(0), inputs, segments)
    kernel, bias = variables["params"]["kernel"], variables["params"]["bias"]
    assert kernel.shape == (3, FEATURES, FEATURES)
    rows = [by_hand(row, kernel, bias, ids) for row, ids in zip(inputs, segments, strict=True)]
    outputs = jax.jit(module.apply)(variables, inputs, segments)
    assert_close(outputs, jax.nn.gelu(jnp.array(rows), approximate=False), 1e-5)
