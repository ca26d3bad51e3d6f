import pytest
from matplotlib.colors import same_color
from matplotlib.patches import Rectangle

from flax_transformer.evaluation.wishes import HEADINGS, Verdict
from flax_transformer.visualization.pictures import COLORS
from flax_transformer.visualization.position_pictures import plot_wishes

YES, NO = Verdict(True, "1.5 apart"), Verdict(False, "in [0, 7] in 5 steps")
WISHES = {
    "good": dict.fromkeys(HEADINGS, YES),
    "bad": dict(zip(HEADINGS, (YES, NO, YES, NO), strict=True)),
}


def test_each_cell_says_and_shows_whether_a_wish_is_met():
    (axes,) = plot_wishes(WISHES).axes
    cells = {
        (round(text.get_position()[1] - 0.5), round(text.get_position()[0] - 0.5)): text.get_text()
        for text in axes.texts
    }
    colors = {
        (int(patch.get_y()), int(patch.get_x())): patch.get_facecolor()
        for patch in axes.patches
        if isinstance(patch, Rectangle)
    }
    for row, wishes in enumerate(WISHES.values()):
        for column, verdict in enumerate(wishes.values()):
            word, reason = cells[row, column].split("\n")
            assert (word, reason) == ("yes" if verdict.met else "no", verdict.reason)
            assert same_color(colors[row, column][:3], COLORS[0 if verdict.met else 1])
    assert [label.get_text() for label in axes.get_yticklabels()] == list(WISHES)
    assert [label.get_text() for label in axes.get_xticklabels()] == list(HEADINGS.values())


def test_the_first_scheme_stands_above():
    (axes,) = plot_wishes(WISHES).axes
    bottom, top = axes.get_ylim()
    assert bottom > top


def test_no_scheme_is_refused():
    with pytest.raises(ValueError, match="at least one scheme"):
        plot_wishes({})
