import numpy as np
import pytest

from flax_transformer.functional import causal_mask
from flax_transformer.visualization.attention_maps import plot_attention, plot_mask

HEADS, QUERIES, KEYS = 5, 3, 7
SOURCE = [f"s{i}" for i in range(KEYS)]
TARGET = [" the", "fox", ""]
WEIGHTS = np.random.default_rng(0).dirichlet(np.ones(KEYS), (HEADS, QUERIES))


def names(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_every_head_is_a_map_between_the_tokens_on_the_one_scale():
    *maps, scale = plot_attention(WEIGHTS, SOURCE, TARGET).axes
    assert [axes.get_title() for axes in maps] == [f"head {i}" for i in range(HEADS)]
    for axes, weights in zip(maps, WEIGHTS, strict=True):
        (image,) = axes.images
        np.testing.assert_array_equal(image.get_array(), weights)
        assert image.get_clim() == (0, WEIGHTS.max())
        assert (names(axes.xaxis), names(axes.yaxis)) == (SOURCE, ["␣the", "fox", "∅"])
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("key", "query")
    assert "weight" in scale.get_ylabel()


@pytest.mark.parametrize("queries", [QUERIES, KEYS, 2 * KEYS])
def test_maps_do_not_overlap(queries):
    figure = plot_attention(np.ones((HEADS, queries, KEYS)), SOURCE, ["jumping"] * queries)
    figure.draw_without_rendering()
    boxes = [box for axes in figure.axes if (box := axes.get_tightbbox())]
    assert len(boxes) == HEADS + 1
    assert all(box.y1 <= figure.bbox.y1 and box.y0 >= 0 for box in boxes)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_queries_and_keys_of_self_attention_are_the_same_tokens():
    axes = plot_attention(WEIGHTS[:, :, :QUERIES], SOURCE[:QUERIES]).axes[0]
    assert names(axes.xaxis) == names(axes.yaxis) == SOURCE[:QUERIES]


def test_the_causal_mask_is_a_triangle():
    figure = plot_mask(causal_mask(KEYS), SOURCE)
    (axes,) = figure.axes
    (image,) = axes.images
    drawn = image.get_array()
    np.testing.assert_array_equal(drawn, np.tri(KEYS))
    assert names(axes.xaxis) == names(axes.yaxis) == SOURCE
    legend = {
        text.get_text(): patch.get_facecolor()
        for text, patch in zip(
            figure.legends[0].get_texts(), figure.legends[0].get_patches(), strict=True
        )
    }
    for value, meaning in enumerate(("may not", "may attend")):
        np.testing.assert_array_equal(image.to_rgba(np.array([value]))[0], legend[meaning])


def test_a_mask_between_two_texts_has_the_queries_downwards():
    mask = np.arange(QUERIES * KEYS).reshape(QUERIES, KEYS) % 2 == 0
    (axes,) = plot_mask(mask, SOURCE, TARGET).axes
    np.testing.assert_array_equal(axes.images[0].get_array(), mask)
    assert (len(names(axes.xaxis)), len(names(axes.yaxis))) == (KEYS, QUERIES)


@pytest.mark.parametrize(
    ("plot", "array", "message"),
    [
        (plot_attention, WEIGHTS, "weights of 3 queries and 7 keys do not fit 7 query and 7 key"),
        (plot_attention, WEIGHTS[None], r"weights \(1, 5, 3, 7\) must be"),
        (plot_attention, WEIGHTS[:0], r"weights \(0, 3, 7\) must be"),
        (plot_mask, WEIGHTS[0] > 0, "mask of 3 queries and 7 keys do not fit 7 query and 7 key"),
        (plot_mask, WEIGHTS > 0, r"mask \(5, 3, 7\) must be"),
        (plot_mask, WEIGHTS[0, :0] > 0, r"mask \(0, 7\) must be"),
    ],
)
def test_what_does_not_fit_is_refused(plot, array, message, unchecked_types):
    with pytest.raises(ValueError, match=message):
        plot(array, SOURCE)
