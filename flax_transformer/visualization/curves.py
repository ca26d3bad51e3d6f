"""Curves of trainings: measurements of runs, and learning-rate schedules."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from flax_transformer.visualization.lines import draw_lines
from flax_transformer.visualization.pictures import new_figure

# The width of the picture cannot show more points.
_MOST_POINTS = 2000
Run = str | Path | Iterable[str]
"""The path of a metrics.jsonl, or its lines."""


def read_curve(run: Run, kind: str, name: str) -> list[tuple[int, float]]:
    """Reads the values of one measurement in a run.

    Args:
        run: the path of a metrics.jsonl, or its lines.
        kind: "train", or the split that was evaluated.
        name: of the measurement, such as "loss".

    Returns:
        (step, value) of every line that has the measurement, without null values.
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
    """Draws the training loss and a validation score against the updates, one line per run.

    Args:
        runs: name -> the path of a metrics.jsonl, or its lines.
        score: name of a score on the validation split.

    Returns:
        The figure: the loss on the left and, if any run was evaluated, the score on the right.

    Raises:
        ValueError: without runs, or if a run has no training loss.
    """
    if not runs:
        raise ValueError("runs must hold at least one run")
    # An iterator of lines can be read only once.
    read = {name: run if isinstance(run, str | Path) else list(run) for name, run in runs.items()}
    losses, scores = (
        {name: read_curve(run, kind, measured) for name, run in read.items()}
        for kind, measured in (("train", "loss"), ("validation", score))
    )
    for name, curve in losses.items():
        if not curve:
            raise ValueError(f"run {name!r} has measured no training loss")
    drawn = [(losses, "training loss, nats")]
    if any(scores.values()):
        drawn.append((scores, f"{score} on the validation split"))
    figure, panels = new_figure(12 if len(drawn) > 1 else 6.4, 4.2, columns=len(drawn), sharex=True)
    for axes, (curves, title) in zip(panels, drawn, strict=True):
        draw_lines(axes, curves, title, "updates")
    return figure


def plot_schedules(schedules: Mapping[str, Callable[[Any], Any]], num_steps: int) -> Figure:
    """Draws the learning rate of every update, one line per schedule.

    Args:
        schedules: name -> function from the number of past updates to the learning rate of the
            next, such as those of `training.optimizer.make_schedule` and Optax; it must accept
            arrays.
        num_steps: number of updates to draw, at least 1.

    Returns:
        The figure: updates counted from 1, each line with its name and last learning rate.

    Raises:
        ValueError: without schedules or updates.

    Example:
        >>> figure = plot_schedules({"falling": lambda count: 0.5 / (count + 1)}, 3)
        >>> figure.axes[0].get_lines()[0].get_ydata().round(3).tolist()
        [0.5, 0.25, 0.167]

    Reference:
        Vaswani et al. 2017, section 5.3, equation 3 (the paper's own).
    """
    if not schedules or num_steps < 1:
        raise ValueError(f"{len(schedules)} schedules over {num_steps} updates: nothing to draw")
    counts = np.unique(np.linspace(0, num_steps - 1, min(num_steps, _MOST_POINTS)).astype(int))
    # A constant schedule may return one number for all updates.
    lines = {
        name: np.stack(np.broadcast_arrays(counts + 1.0, np.asarray(schedule(counts), float)), 1)
        for name, schedule in schedules.items()
    }
    figure, (axes,) = new_figure(7.6, 4.2)
    draw_lines(axes, lines, "learning rate", "updates", bottom=0.0)
    return figure
