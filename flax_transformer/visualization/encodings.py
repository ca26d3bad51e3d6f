"""Pictures of one positional encoding: waves, colors, distances, and places on a grid."""

import numpy as np
from jaxtyping import Array, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flax_transformer.visualization.matrices import draw_matrix
from flax_transformer.visualization.pictures import COLORS, NO_TICKS, new_figure, style_axes

_NUM_WAVES = 5


def plot_encodings(encodings: Float[Array | np.ndarray, "length d_model"]) -> Figure:
    """Draws encodings of positions as waves, as a heat map, and by their dot products.

    dot product at a distance k = PE(position) · PE(position + k), for every position

    For a sinusoidal encoding of even width, all points of one distance coincide: the dot product
    depends only on the distance of two positions. The points of a learned table scatter.

    Args:
        encodings: one row per position, such as those of `functional.positional`.

    Returns:
        The figure: five columns of the encodings against the positions; all columns in colors; the
        dot products of all pairs of positions against their distance, with the mean as a line.

    Raises:
        ValueError: if there are fewer than two positions or no columns.

    Example:
        >>> from flax_transformer.functional import sinusoidal_positions
        >>> products = plot_encodings(sinusoidal_positions(np.arange(5), 6)).axes[0]
        >>> products.get_lines()[0].get_ydata()[:2].round(2).tolist()
        [3.0, 2.54]

    Reference:
        Vaswani et al. 2017, section 3.5.
    """
    values = np.asarray(encodings, np.float64)
    if values.ndim != 2 or values.shape[0] < 2 or not values.shape[1]:
        raise ValueError(f"encodings {values.shape} must be [length, d_model], of a length above 1")
    figure, _ = new_figure(16, 4.2, rows=0)
    columns = _waves(values.shape[1])
    grid = figure.add_gridspec(len(columns), 3)
    _draw_products(figure.add_subplot(grid[:, 2]), values @ values.T)
    heat_map = figure.add_subplot(grid[:, 1])
    draw_matrix(heat_map, values, "all columns", "position, tokens", "column")
    for row, column in enumerate(columns):
        _draw_wave(figure.add_subplot(grid[row, 0]), values, column, column == columns[-1])
    figure.axes[-len(columns)].set_title("some columns over positions", fontsize="medium")
    return figure


def plot_grid_similarity(
    encodings: Float[Array | np.ndarray, "places d_model"], grid: tuple[int, int]
) -> Figure:
    """Draws the cosine similarities between the encodings of all places on a grid.

    cos(PE(place), PE(other)) = PE(place) · PE(other) / (|PE(place)| |PE(other)|)

    Args:
        encodings: of the places row by row: sines and cosines, or learned vectors.
        grid: numbers of rows and columns.

    Returns:
        The figure: one panel for each place of the grid. A panel shows the similarities of its
        place to all places of the grid; all panels have one scale.

    Raises:
        ValueError: if the number of encodings is not that of the places, or one is all zeros.

    Example:
        >>> figure = plot_grid_similarity(np.array([[1.0, 0.0], [0.0, 2.0]]), (1, 2))
        >>> figure.axes[1].images[0].get_array().tolist()
        [[0.0, 1.0]]

    Reference:
        Dosovitskiy et al. 2021, figure 7.
    """
    values = np.asarray(encodings, np.float64)
    rows, columns = grid
    if values.ndim != 2 or min(grid) < 1 or len(values) != rows * columns:
        raise ValueError(f"encodings {values.shape} are not one for each place of a grid {grid}")
    norms = np.linalg.norm(values, axis=1)
    if not norms.all():
        raise ValueError(f"the encoding of place {norms.argmin()} is all zeros: similar to none")
    similarities = (values @ values.T) / norms / norms[:, None]
    figure, panels = new_figure(columns + 1.2, rows + 0.6, rows, columns, subplot_kw=NO_TICKS)
    for axes, similarity in zip(panels, similarities, strict=True):
        image = axes.imshow(
            similarity.reshape(grid),
            cmap="Blues",
            vmin=similarities.min(),
            vmax=1,
            interpolation="nearest",
        )
    figure.colorbar(image, ax=panels, label="cosine similarity")
    figure.supxlabel("column", fontsize="medium")
    figure.supylabel("row", fontsize="medium")
    return figure


def _waves(d_model: int) -> list[int]:
    """Columns to draw as waves: mostly early ones, as the last ones of a sinusoid hardly differ."""
    # Only even ones, the sines of an interleaved encoding, for comparable shapes.
    num_sines = (d_model + 1) // 2
    chosen = np.geomspace(1, num_sines, min(_NUM_WAVES, num_sines)) - 1
    return (np.unique(np.rint(chosen).astype(int)) * 2).tolist()


def _draw_wave(axes: Axes, values: np.ndarray, column: int, is_last: bool) -> None:
    axes.plot(values[:, column], marker="o", markersize=2.5, linewidth=1, color=COLORS[0])
    margin = 0.1 * np.ptp(values) or 1.0
    axes.set_ylim(values.min() - margin, values.max() + margin)
    axes.margins(x=0.02)
    axes.tick_params(labelbottom=is_last)
    axes.set_ylabel(f"column {column}", rotation=0, ha="right", va="center")
    style_axes(axes, "", "position, tokens" if is_last else "")


def _draw_products(axes: Axes, products: np.ndarray) -> None:
    length = len(products)
    first, second = np.triu_indices(length)
    axes.scatter(
        second - first, products[first, second], s=6, color="0.6", linewidths=0, label="every pair"
    )
    means = np.array([np.diagonal(products, distance).mean() for distance in range(length)])
    axes.plot(np.arange(length), means, color=COLORS[0], label="mean")
    style_axes(axes, "dot product of two encodings", "distance, tokens", fontsize="medium")
    axes.legend(frameon=False)
