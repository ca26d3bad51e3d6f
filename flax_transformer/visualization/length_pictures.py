"""Pictures of how long the texts of a data set are."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int
from matplotlib.figure import Figure

from flax_transformer.visualization.pictures import COLORS, new_figure, style_axes

_NUM_BINS = 30
_SHOWN_SHARE = 99.5  # percent; a few very long texts would hide the others


def plot_lengths(lengths: Mapping[str, Int[np.ndarray, " texts"]], unit: str) -> Figure:
    """Draws the distribution of the lengths of texts, one line for each set of texts.

    Args:
        lengths: name -> the lengths of all texts of a set.
        unit: of the lengths, in the plural.

    Returns:
        The figure: the share of the texts in each of 30 intervals. The longest 0.5 percent of each
        set are counted in the last interval.

    Raises:
        ValueError: without texts.

    Example:
        >>> figure = plot_lengths({"source": np.array([3, 5, 5])}, "characters")
        >>> figure.axes[0].get_legend_handles_labels()[1]
        ['source: median 5, longest 5']
    """
    sets = {name: values for name, values in lengths.items() if len(values)}
    if not sets:
        raise ValueError("lengths must hold at least one text")
    end = max(float(np.percentile(values, _SHOWN_SHARE)) for values in sets.values())
    edges = np.linspace(0, end + 1, _NUM_BINS + 1)
    figure, (axes,) = new_figure(7.6, 4.2)
    for index, (name, values) in enumerate(sets.items()):
        counts, _ = np.histogram(np.minimum(values, end), edges)
        label = f"{name}: median {np.median(values):,.0f}, longest {values.max():,}"
        color, style = COLORS[index % len(COLORS)], "-" if index < len(COLORS) else "--"
        axes.stairs(100 * counts / len(values), edges, color=color, linestyle=style, label=label)
    style_axes(axes, "share of the texts, percent", unit, loc="left")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return figure
