"""Lines in one panel, each with its name at its end in place of a legend."""

import itertools
import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

# Okabe and Ito's colours, which colour-blind people tell apart too, without the pale yellow.
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000"]
_STYLES = ["-", "--", ":", "-."]
# A place (x, y) of a line.
Point = tuple[int | float, int | float]
# Least distance of two labels, as a share of the axis.
_LABEL_DISTANCE = 0.06


def draw_lines(
    axes: Axes, lines: Mapping[str, Sequence[Point]], bottom: float | None = None
) -> None:
    """Draws lines through points (x, y), with the name and the last value of each at its end.

    Args:
        axes: whose title and labels the caller writes.
        lines: points by name; a line without points is left out.
        bottom: where the vertical axis begins; near the lowest value if None.
    """
    ends = []
    for index, (name, points) in enumerate(lines.items()):
        if not points:
            continue
        colour = COLOURS[index % len(COLOURS)]
        style = _STYLES[index // len(COLOURS) % len(_STYLES)]
        # Few points, such as evaluations, are marked; a line of one point would not be seen.
        marker = "o" if len(points) <= 20 else None
        x, y = zip(*points, strict=True)
        axes.plot(x, y, style, color=colour, marker=marker, markersize=4, label=name)
        # What has become NaN is said so, where the line was last seen.
        seen = [value for value in y if math.isfinite(value)]
        ends.append((f"{name}  {y[-1]:.4g}", seen[-1] if seen else axes.get_ylim()[0], colour))
    axes.margins(x=0.02)
    axes.set_ylim(bottom=bottom)
    axes.grid(axis="y", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    heights = _spread(axes, [value for _, value, _ in ends])
    for (label, _, colour), height in zip(ends, heights, strict=True):
        place = {"transform": axes.transAxes, "va": "center"}
        axes.text(1.02, height, label, color=colour, **place)


def _spread(axes: Axes, values: Sequence[int | float]) -> list[float]:
    """Heights of labels as shares of the axis: near their values, but not over each other.

    Labels that would stand above the axis push those below them down.
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
