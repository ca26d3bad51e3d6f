import numpy as np
import pytest

from flax_transformer.visualization.attention_maps import plot_attention_steps

LENGTH, HEAD_DIM, VALUE_DIM = 5, 3, 2
QUERY, KEY = np.random.default_rng(0).normal(size=(2, LENGTH, HEAD_DIM)).astype(np.float32)
VALUE = np.random.default_rng(1).normal(size=(LENGTH, VALUE_DIM)).astype(np.float32)
TOKENS = [f"w{i}" for i in range(LENGTH)]


def panels(figure):
    """The axes of the steps, without those of the scales beside them."""
    return [axes for axes in figure.axes if axes.images]


def matrix(axes):
    return np.ma.asarray(axes.images[0].get_array())


def softmax(scores):
    exponentials = np.exp(scores)
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def test_the_steps_are_those_of_the_formula():
    drawn = panels(plot_attention_steps(QUERY, KEY, VALUE, TOKENS))
    scores = QUERY.astype(np.float64) @ KEY.T
    weights = softmax(scores / HEAD_DIM**0.5)
    steps = (scores, scores / HEAD_DIM**0.5, weights, weights @ VALUE)
    for axes, expected in zip(drawn, steps, strict=True):
        np.testing.assert_allclose(matrix(axes), expected, rtol=1e-4, atol=1e-6)
        assert [label.get_text() for label in axes.yaxis.get_ticklabels()] == TOKENS
    assert drawn[0].images[0].get_clim() == drawn[1].images[0].get_clim()


def test_what_is_masked_stays_white_and_has_no_weight():
    mask = np.tri(LENGTH, dtype=bool)
    drawn = panels(plot_attention_steps(QUERY, KEY, VALUE, TOKENS, mask))
    for axes in drawn[:3]:
        np.testing.assert_array_equal(np.ma.getmaskarray(matrix(axes)), ~mask)
    scaled = QUERY.astype(np.float64) @ KEY.T / HEAD_DIM**0.5
    expected = softmax(np.where(mask, scaled, -np.inf)) @ VALUE
    np.testing.assert_allclose(matrix(drawn[3]), expected, rtol=1e-4, atol=1e-6)


def test_a_mask_with_a_hidden_extreme_does_not_set_the_scale():
    query = QUERY.copy()
    query[0] = 100
    mask = np.ones((LENGTH, LENGTH), bool)
    mask[0] = [True] + [False] * (LENGTH - 1)
    key = KEY.copy()
    key[0] = 0  # the one score of the first query that is seen is 0
    scale = panels(plot_attention_steps(query, key, VALUE, TOKENS, mask))[0].images[0].get_clim()
    assert scale[1] == pytest.approx(np.abs(query[1:] @ key.T).max(), rel=1e-5)


def test_tokens_that_do_not_fit_are_refused(unchecked_types):
    with pytest.raises(ValueError, match=r"query \(5, 3\) and key \(5, 3\) .* 4 tokens"):
        plot_attention_steps(QUERY, KEY, VALUE, TOKENS[:4])
