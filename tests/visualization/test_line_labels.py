import math

from matplotlib.figure import Figure

from flax_transformer.visualization.lines import draw_lines


def test_a_line_that_became_nan_is_said_so_where_it_was_last_seen():
    axes = Figure().subplots()
    never = [(1, math.nan), (2, math.nan)]
    draw_lines(axes, {"lost": [(1, 5.0), (2, math.nan)], "never": never, "kept": [(1, 7.0)]})
    texts = {text.get_text(): text for text in axes.texts}
    assert set(texts) == {"lost  nan", "never  nan", "kept  7"}
    assert all(math.isfinite(text.get_position()[1]) for text in axes.texts)
    assert texts["lost  nan"].get_position()[1] < texts["kept  7"].get_position()[1]
