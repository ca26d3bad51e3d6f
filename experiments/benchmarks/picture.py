"""A picture of measurements: one dot with its spread for each, in groups side by side."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

# Okabe and Ito's blue and orange, which every kind of color vision distinguishes.
PLAIN, MARKED = "#0072B2", "#D55E00"


class Dot(NamedTuple):
    """One measurement.

    Attributes:
        group: its panel.
        label: its name within the group.
        lower: end of the spread.
        middle: height of the dot.
        upper: other end of the spread.
        is_marked: whether it is the reference of its group, drawn in the other color.
    """

    group: str
    label: str
    lower: float
    middle: float
    upper: float
    is_marked: bool


def plot_dots(
    dots: Sequence[Dot], *, title: str, unit: str, line: float, line_label: str
) -> Figure:
    """Draws one panel per group, all on one scale that begins at zero.

    Args:
        dots: the measurements, ordered by group.
        title: of the picture.
        unit: of the measurements; prefixes such as p are added to it.
        line: a value to compare all measurements with.
        line_label: name of that value.

    Returns:
        The figure.
    """
    groups = {name: list(members) for name, members in groupby(dots, lambda dot: dot.group)}
    widths = [len(members) for members in groups.values()]
    figure = Figure(figsize=(1.0 + 0.85 * sum(widths), 4.8), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(groups), sharey=True, squeeze=False, width_ratios=widths)[0]
    for panel, (name, members) in zip(panels, groups.items(), strict=True):
        for place, dot in enumerate(members):
            color = MARKED if dot.is_marked else PLAIN
            panel.vlines(place, dot.lower, dot.upper, color=color, linewidth=7, alpha=0.35)
            panel.plot(place, dot.middle, "o", color=color, markersize=6)
            change = _against_marked(dot, members)
            panel.annotate(
                change, (place, dot.upper), (0, 8), textcoords="offset points", ha="center"
            )
        panel.axhline(line, color="0.4", linestyle="--", linewidth=1)
        panel.set(xlabel=name, xlim=(-0.6, len(members) - 0.4))
        panel.set_xticks(range(len(members)), [dot.label for dot in members])
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="y", color="0.92")
        panel.set_axisbelow(True)
    panels[0].set_ylim(0, 1.15 * max(*(dot.upper for dot in dots), line))
    panels[0].yaxis.set_major_formatter(EngFormatter(unit))
    panels[0].annotate(
        line_label, (-0.5, line), (0, 4), textcoords="offset points", color="0.4", fontsize=9
    )
    figure.suptitle(title, fontsize=11, x=0.02, ha="left")
    return figure


def _against_marked(dot: Dot, members: Sequence[Dot]) -> str:
    """The difference from the marked dot of its group, in percent."""
    marked = next(member for member in members if member.is_marked)
    return "" if dot is marked else f"{dot.middle / marked.middle - 1:+.1%}"
