"""Training curves of several runs beside each other."""

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind people tell apart too, without the pale yellow.
_COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000"]
_STYLES = ["-", "--", ":", "-."]
# Points of a curve; each has one step and one value.
Curve = list[tuple[int, float]]
# Least distance of two labels, as a share of the axis.
_LABEL_DISTANCE = 0.06


def read_curve(run: Path | Iterable[str], kind: str, name: str) -> Curve:
    """Reads how one measurement went on.

    Args:
        run: the metrics.jsonl of a run, or its lines.
        kind: "train", or the split that was evaluated.
        name: of the measurement, such as "loss".

    Returns:
        (step, value) of every line that has it.
    """
    lines = run.read_text(encoding="utf-8").splitlines() if isinstance(run, Path) else run
    measured = map(json.loads, lines)
    return [
        (line["step"], line[name]) for line in measured if line["kind"] == kind and name in line
    ]


def plot_curves(runs: Mapping[str, Path | Iterable[str]], score: str = "exact_match") -> Figure:
    """Draws the training loss and a validation score of runs over their updates, one line a run.

    Args:
        runs: by name, the metrics.jsonl of a run or its lines.
        score: which score of the evaluations on the validation split.

    Returns:
        The figure: the loss on the left and, if any run was evaluated, the score on the right.

    Raises:
        ValueError: if there is no run, or one measured no training loss.
    """
    if not runs:
        raise ValueError("runs must hold at least one run")
    # An iterator of lines could be read only once.
    read = {name: run if isinstance(run, Path) else list(run) for name, run in runs.items()}
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
    _draw(panels[0], losses, "training loss, nats a target token")
    if is_scored:
        _draw(panels[1], scores, f"{score} on the validation split")
    return figure


def _draw(axes: Axes, curves: Mapping[str, Curve], title: str) -> None:
    """Draws the lines, each with its name at its end in place of a legend."""
    ends = []
    for index, (name, points) in enumerate(curves.items()):
        if not points:
            continue
        colour = _COLOURS[index % len(_COLOURS)]
        style = _STYLES[index // len(_COLOURS) % len(_STYLES)]
        # Few points, such as evaluations, are marked; a line of one point would not be seen.
        marker = "o" if len(points) <= 20 else None
        steps, values = zip(*points, strict=True)
        axes.plot(steps, values, style, color=colour, marker=marker, markersize=4, label=name)
        ends.append((f"{name}  {values[-1]:.4g}", values[-1], colour))
    axes.set_title(title, loc="left")
    axes.set_xlabel("updates")
    axes.margins(x=0.02)
    axes.grid(axis="y", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    heights = _spread(axes, [value for _, value, _ in ends])
    for (label, _, colour), height in zip(ends, heights, strict=True):
        place = {"transform": axes.transAxes, "va": "center"}
        axes.text(1.02, height, label, color=colour, **place)


def _spread(axes: Axes, values: Sequence[float]) -> list[float]:
    """Heights of labels as shares of the axis: near their values, but not over each other."""
    lowest, highest = axes.get_ylim()
    heights = [(value - lowest) / (highest - lowest) for value in values]
    from_below = sorted(range(len(heights)), key=heights.__getitem__)
    for lower, upper in itertools.pairwise(from_below):
        heights[upper] = max(heights[upper], heights[lower] + _LABEL_DISTANCE)
    return heights
