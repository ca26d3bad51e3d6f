import numpy as np
import pytest

from flax_transformer.visualization import plot_ablation


def test_numbers_are_short_and_readable_on_their_cells():
    effects = {"decoder.self_attention": np.array([[4.0, -0.0004], [0.1234, 0.5]])}
    (axes, _) = plot_ablation(effects, "loss").axes
    texts = {text.get_text(): text.get_color() for text in axes.texts}
    assert texts == {"4": "white", "0": "black", "0.123": "black", "0.5": "black"}


def test_a_single_panel_has_room_for_the_title():
    figure = plot_ablation({"decoder.self_attention": np.ones((2, 2))}, "loss of repeated letters")
    figure.draw_without_rendering()
    (title,) = figure.texts
    box, whole = title.get_window_extent(), figure.bbox
    assert 0 <= box.x0 < box.x1 <= whole.x1


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="at least one kind"):
        plot_ablation({})
