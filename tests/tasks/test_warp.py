import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pixels import warp_by_loops

from flax_transformer.tasks.classification.warp import slant_level, slant_upright, turn, warp


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).random((5, 7, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("matrix", "move"),
    [
        (np.eye(2), (0, 0)),
        (np.eye(2), (1.25, -2.5)),
        ([[0.8, 0.3], [-0.4, 1.1]], (0.3, 0.2)),
    ],
)
def test_a_warp_is_the_bilinear_formula(image, matrix, move):
    warped = jax.jit(warp)(jnp.asarray(image), jnp.asarray(matrix, float), jnp.asarray(move, float))
    np.testing.assert_allclose(warped, warp_by_loops(image, matrix, move), atol=2e-6)


def test_a_warp_by_whole_pixels_changes_no_value(image):
    warped = warp(jnp.asarray(image), jnp.eye(2), jnp.array([2.0, -1.0]))
    expected = np.zeros_like(image)
    expected[2:, :-1] = image[:-2, 1:]
    np.testing.assert_array_equal(warped, expected)


def test_a_quarter_of_a_turn_is_to_the_left(image):
    square = jnp.asarray(image[:, :5])
    turned = warp(square, turn(math.pi / 2), jnp.zeros(2))
    np.testing.assert_allclose(turned, np.rot90(square), atol=1e-5)


def test_slants_move_what_their_names_say():
    upright = np.zeros((5, 5, 1), np.float32)
    upright[:, 2] = 1
    slanted = warp(jnp.asarray(upright), slant_upright(1.0), jnp.zeros(2))[..., 0]
    np.testing.assert_array_equal(slanted, np.eye(5)[::-1])  # the top to the right
    level = jnp.asarray(upright).swapaxes(0, 1)
    slanted = warp(level, slant_level(1.0), jnp.zeros(2))[..., 0]
    np.testing.assert_array_equal(slanted, np.eye(5)[::-1])  # the right end up
