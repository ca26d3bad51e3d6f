"""Matrices as colours, with their scale."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Array, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from flax_transformer.visualization.visible_tokens import visible_token

# Inches a row, so that its name can be read, and those around the rows.
_ROW, _MARGIN = 0.28, 1.2


def plot_matrices(
    matrices: Mapping[str, Float[Array | np.ndarray, "rows _"]],
    row_names: Sequence[str] = (),
    columns: str | Sequence[str] = "feature",
) -> Figure:
    """Draws matrices beside each other, all on one scale, so that their values compare.

    Args:
        matrices: by title, each with as many rows.
        row_names: one string a row, such as its token; rows are numbered if none is given.
        columns: what a column is, or one string a column where all have as many.

    Returns:
        The figure, a panel for each matrix.

    Raises:
        ValueError: if there is nothing to draw, or rows or columns and their names are not as many.

    Example:
        >>> figure = plot_matrices({"before": np.eye(2), "after": 3 * np.eye(2)}, ["a", "b"])
        >>> [axes.images[0].get_clim() for axes in figure.axes[:2]]
        [(0.0, 3.0), (0.0, 3.0)]
    """
    arrays = {title: np.asarray(matrix, np.float64) for title, matrix in matrices.items()}
    column_names = () if isinstance(columns, str) else columns
    _check(arrays, row_names, column_names)
    values = np.concatenate([array.ravel() for array in arrays.values()])
    num_rows = len(next(iter(arrays.values())))
    size = (4.4 * len(arrays), np.clip(_ROW * num_rows + _MARGIN, 2, 8))
    figure = Figure(size, dpi=100, layout="constrained")
    panels = figure.subplots(1, len(arrays), squeeze=False)[0]
    for axes, (title, array) in zip(panels, arrays.items(), strict=True):
        label = columns if isinstance(columns, str) else ""
        draw_matrix(axes, array, title, "" if row_names else "row", label, values)
        if row_names:
            name_rows(axes, row_names)
        if column_names:
            name_columns(axes, column_names)
    return figure


def draw_matrix(
    axes: Axes,
    matrix: np.ndarray,
    title: str,
    rows: str,
    columns: str,
    among: np.ndarray | None = None,
) -> None:
    """Draws a matrix in two colours around zero, or in one ramp from zero if it has one sign.

    Args:
        axes: to draw in; the scale is put beside them.
        matrix: [rows, columns]; what is masked in it stays white.
        title: what its values are.
        rows: what a row is.
        columns: what a column is.
        among: values whose scale it shares; its own if None.
    """
    among = matrix if among is None else among
    least, most = min(among.min(), 0), max(among.max(), 0)
    colours = "viridis"
    if least < 0 < most:
        colours, most = "RdBu_r", max(most, -least)
        least = -most
    image = axes.imshow(
        matrix, cmap=colours, vmin=least, vmax=most, aspect="auto", interpolation="nearest"
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.set_title(title, fontsize="medium")
    axes.set_xlabel(columns)
    axes.set_ylabel(rows)
    axes.figure.colorbar(image, ax=axes)


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Writes a name beside each row of a matrix, such as the token that it is of."""
    axes.set_yticks(range(len(names)), list(map(visible_token, names)))
    axes.tick_params(axis="y", length=0)


def name_columns(axes: Axes, names: Sequence[str]) -> None:
    """Writes a name below each column of a matrix."""
    axes.set_xticks(range(len(names)), list(map(visible_token, names)), rotation=90)
    axes.tick_params(axis="x", length=0)


def _check(
    arrays: Mapping[str, np.ndarray], row_names: Sequence[str], column_names: Sequence[str]
) -> None:
    if not arrays:
        raise ValueError("matrices must hold at least one matrix")
    num_rows = len(row_names) or len(next(iter(arrays.values())))
    for title, array in arrays.items():
        if array.ndim != 2 or not array.size or len(array) != num_rows:
            raise ValueError(f"{title} {array.shape} must be a matrix of {num_rows} rows")
        if column_names and array.shape[1] != len(column_names):
            raise ValueError(f"{title} {array.shape} must have {len(column_names)} columns")
