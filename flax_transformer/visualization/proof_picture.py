"""Picture of proofs: how much each way of computing differs, at each length."""

from collections.abc import Mapping

import numpy as np
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from flax_transformer.visualization.pictures import new_figure

# Exponents of the color scale: equal numbers, the bound of what is equal, and another result.
_LEAST, _BOUND, _MOST = -9, -5, 0


def plot_proofs(differences: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draws the largest relative difference of each proof at each length.

    The colors are those of log10 of the difference: blue up to 1e-5, which is equal, and red above.

    Args:
        differences: proof -> length, as text -> difference; a missing length is left white.

    Returns:
        The figure, one row for each proof and one column for each length.

    Raises:
        ValueError: if there is nothing to draw.

    Example:
        >>> figure = plot_proofs({"padding": {"8 tokens": 2e-7, "16 tokens": 0.5}})
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['2.0e-07', '5.0e-01']
    """
    columns = list(dict.fromkeys(name for row in differences.values() for name in row))
    if not columns:
        raise ValueError("nothing to draw: give the differences")
    values = np.array(
        [[row.get(column, np.nan) for column in columns] for row in differences.values()]
    )
    is_given = np.array([[column in row for column in columns] for row in differences.values()])
    # What is not a number is as wrong as can be.
    shown = np.where(is_given & ~np.isfinite(values), 10.0**_MOST, values)
    exponents = np.clip(np.log10(np.maximum(shown, 10.0**_LEAST)), _LEAST, _MOST)
    figure, (axes,) = new_figure(3.2 + 1.3 * len(columns), 1.2 + 0.4 * len(values))
    norm = TwoSlopeNorm(_BOUND, _LEAST, _MOST)
    image = axes.imshow(
        np.ma.masked_array(exponents, ~is_given), cmap="RdBu_r", norm=norm, aspect="auto"
    )
    for (row, column), value in np.ndenumerate(values):
        if is_given[row, column]:
            # Near white in the middle of the scale.
            color = "black" if abs(norm(exponents[row, column]) - 0.5) < 0.3 else "white"
            axes.text(column, row, f"{value:.1e}", ha="center", va="center", color=color)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(values)), list(differences))
    axes.set_title("largest difference, relative to the largest value", fontsize="medium")
    figure.colorbar(image, ax=axes, label="log10", ticks=[_LEAST, _BOUND, _MOST])
    return figure
