"""What positional schemes can do, as a table."""

import textwrap
from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from flax_transformer.evaluation.wishes import HEADINGS, Wishes
from flax_transformer.visualization.lines import COLOURS

_MET, _UNMET = COLOURS[0], COLOURS[1]
# Characters of a reason that stand in one line of its cell.
_LINE = 34


def plot_wishes(wishes: Mapping[str, Wishes]) -> Figure:
    r"""Draws schemes against the four wishes, with the figure that decided in each cell.

    Args:
        wishes: by the scheme's name, what `check_wishes` found.

    Returns:
        The figure: one row a scheme, one column a wish.

    Raises:
        ValueError: if there is no scheme.

    Example:
        >>> from flax_transformer.functional.schemes import SCHEMES
        >>> from flax_transformer.evaluation.wishes import check_wishes
        >>> axes = plot_wishes({"number": check_wishes(SCHEMES["number"])}).axes[0]
        >>> axes.texts[-1].get_text()
        'no\nin [0, 127] in 128 steps, in [0,\n8,191] in 8,192'
    """
    if not wishes:
        raise ValueError("wishes must hold at least one scheme")
    figure = Figure(figsize=(13, 0.62 * len(wishes) + 0.6), dpi=100, layout="constrained")
    axes = figure.subplots()
    for row, of_scheme in enumerate(wishes.values()):
        for column, verdict in enumerate(of_scheme):
            colour, word = (_MET, "yes") if verdict.met else (_UNMET, "no")
            corner = (column + 0.01, row + 0.04)
            axes.add_patch(Rectangle(corner, 0.98, 0.92, color=colour, alpha=0.18, linewidth=0))
            text = "\n".join([word, *textwrap.wrap(verdict.reason, _LINE)])
            place = (column + 0.5, row + 0.5)
            axes.text(*place, text, ha="center", va="center", fontsize="small")
    axes.set_xlim(0, len(HEADINGS))
    axes.set_ylim(len(wishes), 0)
    axes.set_xticks([column + 0.5 for column in range(len(HEADINGS))], list(HEADINGS.values()))
    axes.set_yticks([row + 0.5 for row in range(len(wishes))], list(wishes))
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    return figure
