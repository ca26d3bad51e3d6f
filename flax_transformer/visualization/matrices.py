"""A matrix as colours, with its scale."""

import numpy as np
from matplotlib.axes import Axes


def draw_matrix(axes: Axes, matrix: np.ndarray, title: str, rows: str, columns: str) -> None:
    """Draws a matrix in two colours around zero, or in one ramp from zero if it has one sign.

    Args:
        axes: to draw in; the scale is put beside them.
        matrix: [rows, columns].
        title: what its values are.
        rows: what a row is.
        columns: what a column is.
    """
    least, most = min(matrix.min(), 0), max(matrix.max(), 0)
    colours = "viridis"
    if least < 0 < most:
        colours, most = "RdBu_r", max(most, -least)
        least = -most
    image = axes.imshow(
        matrix, cmap=colours, vmin=least, vmax=most, aspect="auto", interpolation="nearest"
    )
    axes.set_title(title, fontsize="medium")
    axes.set_xlabel(columns)
    axes.set_ylabel(rows)
    axes.figure.colorbar(image, ax=axes)
