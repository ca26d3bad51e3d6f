"""Learning-rate schedules as curves."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from flax_transformer.visualization.lines import draw_lines

# More points than this, a line of the picture's width does not show.
_MOST_POINTS = 2000


def plot_schedules(schedules: Mapping[str, Callable[[Any], Any]], num_steps: int) -> Figure:
    """Draws the learning rate of every update, one line a schedule.

    Args:
        schedules: by name, functions from the number of updates made to the learning rate of the
            next, as `training.optimizer.make_schedule` and Optax make them; they take arrays.
        num_steps: updates to draw, at least 1.

    Returns:
        The figure: updates counted from 1, each line with its name and last learning rate.

    Raises:
        ValueError: if there is no schedule or no update.

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
    lines = {}
    for name, schedule in schedules.items():
        # A constant schedule may give one number for all updates.
        rates = np.broadcast_to(np.asarray(schedule(counts), float), counts.shape)
        lines[name] = list(zip((counts + 1).tolist(), rates.tolist(), strict=True))
    figure = Figure(figsize=(7.6, 4.2), dpi=100, layout="constrained")
    axes = figure.subplots()
    draw_lines(axes, lines, bottom=0.0)
    axes.set_title("learning rate", loc="left")
    axes.set_xlabel("updates")
    return figure
