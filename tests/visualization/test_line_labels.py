import itertools
import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from flax_transformer.visualization.lines import draw_lines, plot_lines


def test_a_line_that_became_nan_is_said_so_where_it_was_last_seen():
    axes = Figure().subplots()
    never = [(1, math.nan), (2, math.nan)]
    draw_lines(
        axes, {"lost": [(1, 5.0), (2, math.nan)], "never": never, "kept": [(1, 7.0)]}, "", ""
    )
    texts = {text.get_text(): text for text in axes.texts}
    assert set(texts) == {"lost  nan", "never  nan", "kept  7"}
    assert all(math.isfinite(text.get_position()[1]) for text in axes.texts)
    assert texts["lost  nan"].get_position()[1] < texts["kept  7"].get_position()[1]


@pytest.mark.parametrize("ends", [[70, 69, 68, 67.9, 66, 20], [1, 1.1, 1.2, 9], [3, 3, 3, 3]])
def test_labels_stand_apart_in_the_order_of_their_values_and_not_above_the_axis(ends):
    axes = Figure().subplots()
    draw_lines(axes, {f"line {end}, {i}": [(0, 0), (1, end)] for i, end in enumerate(ends)}, "", "")
    texts = sorted(axes.texts, key=lambda text: text.get_position()[1])
    heights = [text.get_position()[1] for text in texts]
    assert heights[-1] <= 1 + 1e-9
    assert all(b - a > 0.06 - 1e-9 for a, b in itertools.pairwise(heights))
    values = [float(text.get_text().split()[-1]) for text in texts]
    assert values == sorted(values)


def test_a_plot_of_lines_has_one_panel_with_title_and_label():
    lines = {"one": [(1, 5.0), (2, 3.0)], "two": [(1, 2.0)], "none": []}
    (axes,) = plot_lines(lines, "loss, nats", "tokens").axes
    assert axes.get_title(loc="left") == "loss, nats"
    assert axes.get_xlabel() == "tokens"
    drawn = [np.asarray(line.get_xydata()).tolist() for line in axes.get_lines()]
    assert drawn == [[[1, 5], [2, 3]], [[1, 2]]]
    with pytest.raises(ValueError, match="at least one point"):
        plot_lines({"none": []}, "loss")
