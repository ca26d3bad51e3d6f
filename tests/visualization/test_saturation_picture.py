import numpy as np
import pytest

from flax_transformer.visualization.formula_pictures import plot_saturation

HEAD_DIMS, KEYS = [1, 7, 113], 5


def points(*sizes):
    """The points of each line of both panels, by its name."""
    return [
        {line.get_label(): np.asarray(line.get_xydata()) for line in axes.get_lines()}
        for axes in plot_saturation(*sizes).axes
    ]


@pytest.fixture(scope="module")
def lines():
    return points(HEAD_DIMS, KEYS)


def test_every_width_has_a_point_and_width_one_is_divided_by_one(lines):
    for panel in lines:
        assert set(panel) == {"divided", "not divided"}
        for line in panel.values():
            np.testing.assert_array_equal(line[:, 0], HEAD_DIMS)
        assert panel["divided"][0, 1] == panel["not divided"][0, 1]


def test_undivided_scores_saturate_and_divided_ones_do_not(lines):
    largest, slopes = lines
    assert largest["not divided"][-1, 1] > 0.8
    assert slopes["not divided"][-1, 1] < slopes["divided"][-1, 1] / 2
    for panel in lines:
        values = panel["divided"][:, 1]
        np.testing.assert_allclose(values, values.mean(), rtol=0.15)


def softmax(scores):
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def test_the_points_are_means_over_random_queries():
    """Against other random numbers, and derivatives by finite differences."""
    head_dim, step = 3, 1e-6
    rng = np.random.default_rng(1)
    query, key = rng.normal(size=(4000, head_dim)), rng.normal(size=(4000, KEYS, head_dim))
    scores = np.einsum("qd,qkd->qk", query, key)
    weights = softmax(scores)
    derivatives = [(softmax(scores + step * row) - weights) / step for row in np.eye(KEYS)]
    size = np.sqrt(np.square(derivatives).sum(axis=(0, 2)))
    expected = (weights.max(axis=-1).mean(), size.mean())
    for panel, value in zip(points([head_dim], KEYS), expected, strict=True):
        np.testing.assert_allclose(panel["not divided"][0, 1], value, rtol=0.05)


@pytest.mark.parametrize(("head_dims", "num_keys"), [([], 3), ([0], 3), ([2], 1)])
def test_nothing_to_draw_is_refused(head_dims, num_keys):
    with pytest.raises(ValueError, match="must be at least 1"):
        plot_saturation(head_dims, num_keys)
