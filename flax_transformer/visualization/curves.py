"""Training curves of several runs beside each other."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flax_transformer.visualization.lines import draw_lines

# Points of a curve; each has one step and one value.
Curve = list[tuple[int, float]]
# The path of a metrics.jsonl, or its lines.
Run = str | Path | Iterable[str]


def read_curve(run: Run, kind: str, name: str) -> Curve:
    """Reads how one measurement went on.

    Args:
        run: the path of a metrics.jsonl, or its lines.
        kind: "train", or the split that was evaluated.
        name: of the measurement, such as "loss".

    Returns:
        (step, value) of every line that has it; one that had nothing to measure holds null.
    """
    if isinstance(run, str | Path):
        run = Path(run).read_text(encoding="utf-8").splitlines()
    measured = map(json.loads, run)
    return [
        (line["step"], line[name])
        for line in measured
        if line["kind"] == kind and line.get(name) is not None
    ]


def plot_curves(runs: Mapping[str, Run], score: str = "exact_match") -> Figure:
    """Draws the training loss and a validation score of runs over their updates, one line a run.

    Args:
        runs: by name, the path of a metrics.jsonl or its lines.
        score: which score of the evaluations on the validation split.

    Returns:
        The figure: the loss on the left and, if any run was evaluated, the score on the right.

    Raises:
        ValueError: if there is no run, or one measured no training loss.
    """
    if not runs:
        raise ValueError("runs must hold at least one run")
    # An iterator of lines could be read only once.
    read = {name: run if isinstance(run, str | Path) else list(run) for name, run in runs.items()}
    losses, scores = (
        {name: read_curve(run, kind, measured) for name, run in read.items()}
        for kind, measured in (("train", "loss"), ("validation", score))
    )
    for name, curve in losses.items():
        if not curve:
            raise ValueError(f"run {name!r} has measured no training loss")
    is_scored = any(scores.values())
    figure = Figure(figsize=(12 if is_scored else 6.4, 4.2), dpi=100, layout="constrained")
    panels = figure.subplots(1, 2 if is_scored else 1, sharex=True, squeeze=False)[0]
    _draw(panels[0], losses, "training loss, nats")
    if is_scored:
        _draw(panels[1], scores, f"{score} on the validation split")
    return figure


def _draw(axes: Axes, curves: Mapping[str, Curve], title: str) -> None:
    draw_lines(axes, curves)
    axes.set_title(title, loc="left")
    axes.set_xlabel("updates")
