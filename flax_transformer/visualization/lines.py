"""Line plots with names at the ends of the lines instead of a legend."""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flax_transformer.visualization.pictures import COLORS, new_figure, style_axes

_STYLES = ["-", "--", ":", "-."]
Line = Sequence[tuple[int | float, int | float]] | Float[np.ndarray, "points 2"]
"""Points (x, y)."""
# Smallest distance of two labels, as a share of the axis.
_LABEL_DISTANCE = 0.06


def plot_lines(lines: Mapping[str, Line], title: str, x_label: str = "updates") -> Figure:
    """Draws lines through points (x, y), such as measurements of a model during its training.

    Args:
        lines: name -> points; each line has its name and last value at its end.
        title: name of the values.
        x_label: label of the horizontal axis.

    Raises:
        ValueError: if there is nothing to draw.

    Example:
        >>> figure = plot_lines({"loss": [(10, 2.5), (20, 1.5)]}, "loss, nats")
        >>> figure.axes[0].get_lines()[0].get_ydata().tolist()
        [2.5, 1.5]
    """
    if not any(map(len, lines.values())):
        raise ValueError("lines must hold at least one point")
    figure, (axes,) = new_figure(7.6, 4.2)
    draw_lines(axes, lines, title, x_label)
    return figure


def draw_lines(
    axes: Axes,
    lines: Mapping[str, Line],
    title: str,
    x_label: str,
    bottom: float | None = None,
) -> None:
    """Draws lines through points (x, y); each has its name and last value at its end.

    Args:
        axes: to draw in.
        lines: name -> points; a line without points is left out.
        title: name of the values.
        x_label: label of the horizontal axis.
        bottom: lower end of the vertical axis; near the lowest value if None.
    """
    ends = []
    for index, (name, points) in enumerate(lines.items()):
        if not len(points):
            continue
        color = COLORS[index % len(COLORS)]
        style = _STYLES[index // len(COLORS) % len(_STYLES)]
        # Few points, such as evaluations, are marked; a line of one point would be invisible.
        marker = "o" if len(points) <= 20 else None
        x, y = zip(*points, strict=True)
        axes.plot(x, y, style, color=color, marker=marker, markersize=4, label=name)
        # The label reports a NaN at the last visible point of the line.
        seen = [value for value in y if math.isfinite(value)]
        ends.append((f"{name}  {y[-1]:.4g}", seen[-1] if seen else axes.get_ylim()[0], color))
    axes.margins(x=0.02)
    axes.set_ylim(bottom=bottom)
    style_axes(axes, title, x_label, loc="left")
    heights = _spread(axes, [value for _, value, _ in ends])
    for (label, _, color), height in zip(ends, heights, strict=True):
        axes.text(1.02, height, label, color=color, transform=axes.transAxes, va="center")


def _spread(axes: Axes, values: Sequence[int | float]) -> list[float]:
    """Heights of labels as shares of the axis: near their values, without overlaps.

    Labels that would be above the axis push lower labels down.
    """
    lowest, highest = axes.get_ylim()
    heights = [(value - lowest) / (highest - lowest) for value in values]
    from_below = sorted(range(len(heights)), key=heights.__getitem__)
    for lower, upper in itertools.pairwise(from_below):
        heights[upper] = max(heights[upper], heights[lower] + _LABEL_DISTANCE)
    ceiling = 1.0
    for place in reversed(from_below):
        heights[place] = min(heights[place], ceiling)
        ceiling = heights[place] - _LABEL_DISTANCE
    return heights
