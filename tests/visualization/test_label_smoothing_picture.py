import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.patches import Rectangle

from flax_transformer.functional import label_smoothed_cross_entropy
from flax_transformer.visualization.formula_pictures import plot_label_smoothing

VOCAB, TARGET, SMOOTHING = 11, 3, 0.25
# The tokens beside the target that the mass is spread over.
SPREAD = {
    "vocab": (range(VOCAB), VOCAB),
    "others": (set(range(VOCAB)) - {TARGET}, VOCAB - 1),
}


@pytest.mark.parametrize("smoothing_over", SPREAD)
def test_bars_are_what_is_asked_of_each_token_and_the_loss_is_least_there(smoothing_over):
    figure = plot_label_smoothing(VOCAB, TARGET, SMOOTHING, smoothing_over)
    bars, losses = figure.axes
    tokens, size = SPREAD[smoothing_over]
    asked = np.array([SMOOTHING / size * (token in tokens) for token in range(VOCAB)])
    asked[TARGET] += 1 - SMOOTHING
    heights = [bar.get_height() for bar in bars.patches if isinstance(bar, Rectangle)]
    np.testing.assert_allclose(heights, asked, atol=1e-6)
    assert [text.get_text() for text in bars.get_xticklabels()][TARGET] == "3\ntarget"
    smoothed, hard = losses.get_lines()
    assert (smoothed.get_label(), hard.get_label()) == ("smoothing 0.25", "smoothing 0")
    margins, values = np.transpose(smoothed.get_xydata())
    margin, step = margins[np.argmin(values)], np.diff(margins).max()
    least = np.log(asked[TARGET] * (VOCAB - 1) / (1 - asked[TARGET]))
    assert margin == pytest.approx(least, abs=step)
    assert (np.diff(hard.get_ydata()) < 0).all()


def test_a_point_of_a_line_is_the_loss_of_such_logits():
    losses = plot_label_smoothing(VOCAB, TARGET, SMOOTHING).axes[1]
    for line, smoothing in zip(losses.get_lines(), (SMOOTHING, 0.0), strict=True):
        margin, value = np.asarray(line.get_xydata())[17]
        logits = jnp.zeros(VOCAB).at[TARGET].set(margin)
        expected, _ = label_smoothed_cross_entropy(
            logits, jnp.array(TARGET), jnp.ones(()), smoothing
        )
        assert value == pytest.approx(float(expected), rel=1e-6)


def test_without_smoothing_there_is_one_line():
    assert len(plot_label_smoothing(label_smoothing=0.0).axes[1].get_lines()) == 1


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((VOCAB, VOCAB), "target 11 must be a token id below vocab_size 11"),
        ((VOCAB, -1), "target -1 must be"),
        ((VOCAB, TARGET, 1.0), "label_smoothing must be in"),
    ],
)
def test_what_cannot_be_smoothed_is_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        plot_label_smoothing(*sizes)
