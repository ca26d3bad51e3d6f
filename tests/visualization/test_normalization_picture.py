import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.patches import Rectangle

from flax_transformer.visualization.matrices import plot_normalization

TOKENS, D_MODEL = 5, 7
INPUTS = np.random.default_rng(0).normal(2, 3, (TOKENS, D_MODEL))


@pytest.fixture(scope="module")
def panels():
    """The six panels, row by row, without the scales beside them."""
    figure = plot_normalization(jnp.asarray(INPUTS, jnp.float32))
    return [axes for axes in figure.axes if axes.images]


def matrix(axes):
    return np.asarray(axes.images[0].get_array(), np.float64)


def normalized(inputs, axis):
    centered = inputs - inputs.mean(axis=axis, keepdims=True)
    return centered / inputs.std(axis=axis, keepdims=True)


@pytest.mark.parametrize(("column", "name", "axis"), [(1, "layer", 1), (2, "batch", 0)])
def test_each_norm_is_drawn_with_its_change_by_another_first_token(panels, column, name, axis):
    above, below = panels[column], panels[3 + column]
    assert above.get_title().startswith(name)
    expected = normalized(INPUTS, axis)
    np.testing.assert_allclose(matrix(above), expected, atol=1e-5)
    changed = np.concatenate([-2 * INPUTS[:1], INPUTS[1:]])
    np.testing.assert_allclose(matrix(below), normalized(changed, axis) - expected, atol=1e-5)


def test_a_change_stays_in_its_row_with_layer_normalization_alone(panels):
    of_layer, of_batch = matrix(panels[4]), matrix(panels[5])
    assert not of_layer[1:].any()
    assert of_batch[1:].any(axis=1).all()


def test_inputs_stand_first_and_a_frame_holds_what_shares_a_mean(panels):
    np.testing.assert_allclose(matrix(panels[0]), INPUTS, rtol=1e-6)
    frames = [
        [(patch.get_xy(), patch.get_width(), patch.get_height()) for patch in axes.patches]
        for axes in panels
        if all(isinstance(patch, Rectangle) for patch in axes.patches)
    ]
    corner = (-0.5, -0.5)
    assert frames == [[], [(corner, D_MODEL, 1)], [(corner, 1, TOKENS)], [], [], []]


@pytest.mark.parametrize("shape", [(1, D_MODEL), (TOKENS, 1)])
def test_what_is_its_own_mean_is_refused(shape):
    with pytest.raises(ValueError, match=rf"inputs \({shape[0]}, {shape[1]}\) must be"):
        plot_normalization(jnp.ones(shape))
