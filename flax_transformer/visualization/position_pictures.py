"""Pictures of positional schemes: their values and their properties."""

import textwrap
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Rectangle

from flax_transformer.evaluation.wishes import HEADINGS, Verdict, step_values
from flax_transformer.functional.schemes import SCHEMES, PositionalScheme
from flax_transformer.visualization.matrices import draw_matrix
from flax_transformer.visualization.pictures import COLORS, new_figure, style_axes

_COLUMNS = 2
# Smallest number of drawn columns of an encoding that ends in columns of zeros.
_FEWEST_COLUMNS = 8
# Characters per line of a reason in a cell.
_LINE = 34
_NOTE = """\
left: value that the scheme gives each position
right: how positions relate by it

Each panel has its own scale.
Blue and red are below and above zero;
the other scale begins or ends at zero.
Learned tables are drawn at random."""


def plot_positions(length: int = 64, d_model: int = 64) -> Figure:
    """Draws the values that every scheme gives to positions, and the relations of positions.

    Left, the encoding; a vector of ones after rotation; or the bias that one head adds to its
    scores. Right, the dot products of the left side; or the weights that result from only the bias.

    Args:
        length: number of positions; at least 2, as one position cannot be distinguished.
        d_model: width of the encodings and of the rotated vector, at least 2.

    Returns:
        The figure: a pair of panels for each scheme and a note on how to read them.

    Raises:
        ValueError: if there is nothing to draw.
    """
    num_rows = -(-(len(SCHEMES) + 1) // _COLUMNS)
    figure, _ = new_figure(6.4 * _COLUMNS, 2.9 * num_rows, rows=0)
    grid = figure.subfigures(num_rows, _COLUMNS, squeeze=False, wspace=0.03, hspace=0.04)
    cells = grid.ravel()
    for cell, (name, scheme) in zip(cells, SCHEMES.items(), strict=False):
        cell.suptitle(name, fontweight="bold")
        _draw_scheme(cell, scheme, length, d_model)
    cells[-1].text(0.12, 0.5, _NOTE, va="center", color="dimgray", linespacing=1.5)
    return figure


def plot_scheme(scheme: PositionalScheme, length: int = 64, d_model: int = 64) -> Figure:
    """Draws one scheme like `plot_positions`.

    Args:
        scheme: any scheme, not only one of `SCHEMES`.
        length: number of positions; at least 2.
        d_model: width of the encodings and of the rotated vector, at least 2.

    Returns:
        The figure: left, the values of positions; right, their relations.

    Raises:
        ValueError: if there is nothing to draw.

    Example:
        >>> bias, _ = (axes for axes in plot_scheme(SCHEMES["alibi"], 3).axes if axes.images)
        >>> bias.images[0].get_array()[2].tolist()
        [-1.0, -0.5, -0.0]
    """
    figure, _ = new_figure(11, 4, rows=0)
    _draw_scheme(figure, scheme, length, d_model)
    return figure


def plot_by_length(schemes: Mapping[str, PositionalScheme], lengths: Sequence[int]) -> Figure:
    """Draws the first column of encodings against positions, for several sentence lengths.

    If a position's value does not depend on the length of its sentence, the lines coincide. Longer
    sentences have wider lines.

    Args:
        schemes: name -> scheme that adds an encoding to embeddings.
        lengths: of the sentences, in tokens, each at least 2.

    Returns:
        The figure, a panel for each scheme.

    Raises:
        ValueError: if there is nothing to draw, or a scheme does not add to embeddings.

    Example:
        >>> axes = plot_by_length({"scaled": SCHEMES["scaled"]}, [3, 5]).axes[0]
        >>> [line.get_ydata().tolist() for line in axes.get_lines()]
        [[0.0, 0.25, 0.5, 0.75, 1.0], [0.0, 0.5, 1.0]]
    """
    if not schemes or not lengths or min(lengths) < 2:
        raise ValueError(f"{len(schemes)} schemes of lengths {[*lengths]}: nothing to draw")
    figure, panels = new_figure(4.6 * len(schemes), 3.4, columns=len(schemes))
    for axes, (name, scheme) in zip(panels, schemes.items(), strict=True):
        if scheme.encode is None:
            raise ValueError(f"the scheme {name} adds nothing to embeddings")
        # Wide lines first, so that narrow ones on top are visible.
        for index, length in enumerate(sorted(lengths, reverse=True)):
            steps = jnp.arange(length)
            values = np.asarray(step_values(scheme, steps, length, max_positions=max(lengths)))
            axes.plot(
                steps,
                values[:, 0],
                color=COLORS[index % len(COLORS)],
                linewidth=1.5 + 3 * (len(lengths) - 1 - index),
                label=f"sentence of {length}",
            )
        style_axes(axes, name, "position, tokens", fontsize="medium")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(lengths), frameon=False)
    return figure


def plot_wishes(wishes: Mapping[str, Mapping[str, Verdict]]) -> Figure:
    r"""Draws a table of schemes and the four properties, with the deciding number in each cell.

    Args:
        wishes: name of the scheme -> result of `check_wishes`.

    Returns:
        The figure: one row per scheme, one column per property.

    Raises:
        ValueError: without schemes.

    Example:
        >>> from flax_transformer.evaluation.wishes import check_wishes
        >>> axes = plot_wishes({"number": check_wishes(SCHEMES["number"])}).axes[0]
        >>> axes.texts[-1].get_text()
        'no\nin [0, 127] in 128 steps, in [0,\n8,191] in 8,192'
    """
    if not wishes:
        raise ValueError("wishes must hold at least one scheme")
    figure, (axes,) = new_figure(13, 0.62 * len(wishes) + 0.6)
    for row, of_scheme in enumerate(wishes.values()):
        for column, verdict in enumerate(of_scheme.values()):
            color, word = (COLORS[0], "yes") if verdict.met else (COLORS[1], "no")
            corner = (column + 0.01, row + 0.04)
            axes.add_patch(Rectangle(corner, 0.98, 0.92, color=color, alpha=0.18, linewidth=0))
            text = "\n".join([word, *textwrap.wrap(verdict.reason, _LINE)])
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize="small")
    axes.set(xlim=(0, len(HEADINGS)), ylim=(len(wishes), 0))
    axes.set_xticks([column + 0.5 for column in range(len(HEADINGS))], list(HEADINGS.values()))
    axes.set_yticks([row + 0.5 for row in range(len(wishes))], list(wishes))
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    return figure


def _draw_scheme(
    cell: Figure | SubFigure, scheme: PositionalScheme, length: int, d_model: int
) -> None:
    if length < 2 or d_model < 2:
        raise ValueError(f"length {length} and d_model {d_model} must be at least 2")
    values = np.asarray(step_values(scheme, jnp.arange(length), length, d_model, length))
    if not values.any():
        cell.text(0.5, 0.5, "all zero", ha="center", va="center", color="dimgray")
        return
    left, right = cell.subplots(1, 2)
    if scheme.bias:
        draw_matrix(left, values, "bias of the first of 8 heads", "query position", "key position")
        weights = np.asarray(jax.nn.softmax(values, axis=-1))
        draw_matrix(right, weights, "weights by the bias only", "query position", "key position")
        return
    title = "encoding" if scheme.encode else "rotated ones"
    width = max(np.flatnonzero(values.any(axis=0))[-1] + 1, _FEWEST_COLUMNS)
    if width < values.shape[1]:
        title += f", the first {width} columns"
    draw_matrix(left, values[:, :width], title, "position", "column")
    draw_matrix(right, values @ values.T, "dot products", "position", "position")
