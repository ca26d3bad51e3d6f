import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import assert_close

from flax_transformer.functional import project

BATCH, LENGTH, HEADS, KEY_DIM, D_MODEL = 2, 5, 3, 7, 11
# Of the axes of vectors before their own, of their own, and of what they become.
SHAPES = [
    ((), (D_MODEL,), (KEY_DIM,)),
    ((BATCH, LENGTH), (D_MODEL,), (HEADS, KEY_DIM)),
    ((BATCH, LENGTH), (HEADS, KEY_DIM), (D_MODEL,)),
    ((BATCH, 0), (D_MODEL,), (KEY_DIM,)),
    ((BATCH,), (D_MODEL,), (HEADS, 0)),
]


def by_hand(inputs, kernel, batch, summed, mapped):
    inputs = np.asarray(inputs, np.float64).reshape(*batch, math.prod(summed))
    kernel = np.asarray(kernel, np.float64).reshape(math.prod(summed), -1)
    return np.einsum("...i,io->...o", inputs, kernel).reshape(*batch, *mapped)


@pytest.mark.parametrize(("batch", "summed", "mapped"), SHAPES)
def test_it_is_the_sum_over_the_vectors_own_axes(normal, tolerance, batch, summed, mapped):
    inputs, kernel = normal(*batch, *summed), normal(*summed, *mapped)
    expected = by_hand(inputs, kernel, batch, summed, mapped)
    output = project(inputs, kernel, num_axes=len(summed))
    assert output.shape == expected.shape
    if output.size:
        assert_close(output, expected, tolerance)


def test_in_16_bits_gradients_are_rounded_once(normal):
    """Sums in float32 of the rounded factors, as in float64, but for the last rounding."""
    batch, summed, mapped = SHAPES[1]
    inputs, kernel = (normal(*x).astype(jnp.bfloat16) for x in (batch + summed, summed + mapped))
    cotangent = normal(*batch, *mapped).astype(jnp.bfloat16)
    output, pull_back = jax.vjp(project, inputs, kernel)
    by_inputs, by_kernel = pull_back(cotangent)
    wide_inputs, wide_kernel, wide_cotangent = (
        np.asarray(x, np.float64) for x in (inputs, kernel, cotangent)
    )
    expected = (
        np.einsum("bld,dhk->blhk", wide_inputs, wide_kernel),
        np.einsum("blhk,dhk->bld", wide_cotangent, wide_kernel),
        np.einsum("bld,blhk->dhk", wide_inputs, wide_cotangent),
    )
    for actual, sums in zip((output, by_inputs, by_kernel), expected, strict=True):
        assert actual.dtype == jnp.bfloat16
        np.testing.assert_allclose(np.asarray(actual, np.float64), sums, rtol=2**-8, atol=1e-5)


@pytest.mark.parametrize("platform", ["cpu", "tpu"])
def test_in_16_bits_no_product_has_a_wider_factor(normal, platform):
    """A factor in float32 beside one of 16 bits would make the whole product one of float32."""
    inputs, kernel = (normal(*x).astype(jnp.bfloat16) for x in ((LENGTH, D_MODEL), (D_MODEL, 2)))
    gradient = jax.jit(jax.grad(lambda x, w: jnp.sin(project(x, w)).sum(), (0, 1)))
    program = gradient.trace(inputs, kernel).lower(lowering_platforms=(platform,)).as_text()
    products = re.findall(r"dot_general.*\((.*)\) -> ", program)
    factors = [re.findall(r"(f32|bf16)>", product) for product in products]
    assert factors == [["bf16", "bf16"]] * 3


def test_in_float32_it_has_forward_mode_too(normal):
    inputs, kernel = normal(LENGTH, D_MODEL), normal(D_MODEL, KEY_DIM)
    direction = normal(LENGTH, D_MODEL)
    _, tangent = jax.jvp(lambda x: project(x, kernel), (inputs,), (direction,))
    np.testing.assert_array_equal(tangent, project(direction, kernel))
