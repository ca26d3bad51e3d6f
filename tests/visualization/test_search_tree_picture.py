import math

import pytest
from matplotlib.colors import to_rgba

from flax_transformer.visualization.search_tree_picture import plot_search_tree

NAN = math.nan
# Two tokens after the prompt, then two after each: the best is "b </s>".
TOKENS = ["a", "b", "c", "c", "</s>", " d"]
PARENTS = [-1, -1, 0, 0, 1, 1]
LOG_PROBS = [-0.5, -0.75, -1.5, -3.0, -1.0, -2.0]
SCORES = [NAN, NAN, NAN, NAN, -0.625, NAN]
KEPT = [True, True, True, False, True, False]


@pytest.fixture(scope="module")
def figure():
    return plot_search_tree(TOKENS, PARENTS, LOG_PROBS, SCORES, KEPT, best=4)


@pytest.fixture(scope="module")
def boxes(figure):
    """The name of the prompt, then that of each node."""
    return figure.axes[0].texts


def test_every_node_is_named_with_its_log_probability_and_its_score(boxes):
    assert [box.get_text() for box in boxes] == [
        "prompt",
        "a  -0.50",
        "b  -0.75",
        "c  -1.50",
        "c  -3.00",
        "</s>  -1.00 → -0.62",
        "␣d  -2.00",
    ]


def test_lines_run_from_a_node_to_its_continuations_one_token_further(figure, boxes):
    places = [box.get_position() for box in boxes]
    drawn = [list(map(tuple, line.get_xydata().tolist())) for line in figure.axes[0].get_lines()]
    assert drawn == [[places[parent + 1], places[i + 1]] for i, parent in enumerate(PARENTS)]
    assert [x for x, _ in places] == [0, 1, 1, 2, 2, 2, 2]


def test_names_do_not_overlap_and_branches_keep_their_order(figure, boxes):
    figure.draw_without_rendering()
    extents = [box.get_bbox_patch().get_window_extent() for box in boxes]
    assert not any(a.overlaps(b) for i, a in enumerate(extents) for b in extents[:i])
    heights = [box.get_position()[1] for box in boxes]
    assert heights[3:] == sorted(heights[3:])
    # The vertical axis points down: the best continuation of each lies on top.
    lowest, highest = figure.axes[0].get_ylim()
    assert lowest > highest


def test_the_best_path_what_was_kept_and_what_fell_out_look_as_the_legend_says(figure):
    (legend,) = figure.legends
    looks = {
        text.get_text(): line.get_color()
        for text, line in zip(legend.get_texts(), legend.get_lines(), strict=True)
    }
    names = ["best hypothesis", "kept in the beam", "fell out of it"]
    assert list(looks) == names
    assert len(set(looks.values())) == 3
    expected = [1, 0, 1, 2, 0, 2]
    colors = [line.get_color() for line in figure.axes[0].get_lines()]
    assert [*map(to_rgba, colors)] == [to_rgba(looks[names[state]]) for state in expected]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tokens": TOKENS[1:]}, "6 parents need as many .*, not 5, 6, 6, 6"),
        ({"parents": [-1, 1, 0, 0, 1, 1]}, "node 1 must continue an earlier one.*, not 1"),
        ({"parents": [-2, *PARENTS[1:]]}, "node 0 must continue an earlier one.*, not -2"),
        ({"best": 6}, "best 6 must be one of 6 nodes"),
        ({"best": -1}, "best -1 must be"),
        ({"tokens": [], "parents": []}, "0 parents need .*, not 0, 6, 6, 6"),
    ],
)
def test_what_is_no_tree_is_refused(changed, message):
    fields = {
        "tokens": TOKENS,
        "parents": PARENTS,
        "log_probs": LOG_PROBS,
        "scores": SCORES,
        "is_kept": KEPT,
        "best": 4,
    }
    with pytest.raises(ValueError, match=message):
        plot_search_tree(**fields | changed)
