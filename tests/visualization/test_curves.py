import itertools
import json

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from flax_transformer.visualization.curves import plot_curves, read_curve

pytestmark = pytest.mark.platforms


def lines(losses, scores=()):
    """Lines as a training writes them: a loss each update, a score each second one."""
    trained = [{"step": i, "kind": "train", "loss": loss} for i, loss in enumerate(losses, 1)]
    scored = [
        {"step": 2 * i, "kind": "validation", "chrf": 1.0, "exact_match": score}
        for i, score in enumerate(scores, 1)
    ]
    return [json.dumps(line) for line in trained + scored]


RUNS = {"one": lines([5.0, 3.0, 2.0, 1.0], [11.0, 97.0]), "other": lines([5.0, 4.0], [13.0])}


def curves(axes):
    return {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}


def test_every_run_is_a_line_of_what_it_measured():
    loss, score = plot_curves(RUNS).axes
    assert curves(loss) == {"one": [[1, 5], [2, 3], [3, 2], [4, 1]], "other": [[1, 5], [2, 4]]}
    assert curves(score) == {"one": [[2, 11], [4, 97]], "other": [[2, 13]]}
    assert "exact_match" in score.get_title(loc="left")


def test_lines_are_read_from_a_file_or_an_iterator(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(f"{line}\n" for line in RUNS["one"]))
    assert read_curve(path, "validation", "exact_match") == [(2, 11.0), (4, 97.0)]
    figures = [plot_curves({"one": run}) for run in (path, iter(RUNS["one"]))]
    assert [[curves(axes) for axes in figure.axes] for figure in figures] == [
        [{"one": [[1, 5], [2, 3], [3, 2], [4, 1]]}, {"one": [[2, 11], [4, 97]]}]
    ] * 2


def test_what_had_nothing_to_measure_is_no_point_of_a_curve():
    gap = json.dumps({"step": 2, "kind": "train", "loss": None})
    assert read_curve([*lines([5.0]), gap], "train", "loss") == [(1, 5.0)]


def test_runs_without_that_score_get_no_panel_for_it():
    (loss,) = plot_curves(RUNS, "bleu").axes
    assert set(curves(loss)) == set(RUNS)


def test_labels_name_the_lines_in_their_colors_and_do_not_overlap():
    names = [f"run {i}" for i in range(9)]
    figure = plot_curves({name: lines([5.0, 1 + 1e-3 * i]) for i, name in enumerate(names)})
    figure.draw_without_rendering()
    (axes,) = figure.axes
    labels = {text.get_text().partition("  ")[0]: text for text in axes.texts}
    assert set(labels) == set(names)
    for line in axes.get_lines():
        assert to_rgba(line.get_color()) == to_rgba(labels[str(line.get_label())].get_color())
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.get_lines()}) == 9
    boxes = sorted((label.get_window_extent() for label in labels.values()), key=lambda b: b.y0)
    gaps = [upper.y0 - lower.y1 for lower, upper in itertools.pairwise(boxes)]
    assert np.min(gaps) >= 0


@pytest.mark.parametrize(
    ("runs", "message"),
    [({}, "at least one run"), ({"a": lines([], [1.0])}, "run 'a' has measured no training loss")],
)
def test_nothing_to_draw_is_refused(runs, message):
    with pytest.raises(ValueError, match=message):
        plot_curves(runs)
