"""Which places of a grid have similar positions."""

import numpy as np
from jaxtyping import Array, Float
from matplotlib.figure import Figure


def plot_grid_similarity(
    encodings: Float[Array | np.ndarray, "places d_model"], grid: tuple[int, int]
) -> Figure:
    """Draws how similar the encoding of each place on a grid is to those of all others.

    cos(PE(place), PE(other)) = PE(place) · PE(other) / (|PE(place)| |PE(other)|)

    Args:
        encodings: of the places row by row: sines and cosines, or what a model has learned.
        grid: rows and columns.

    Returns:
        The figure: at each place of the grid a panel, which shows the grid once more in the colours
        of its similarities; all panels have one scale.

    Raises:
        ValueError: if there is not one encoding for each place, or one is all zeros.

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
    figure = Figure((columns + 1.2, rows + 0.6), dpi=100, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes, similarity in zip(panels.flat, similarities, strict=True):
        image = axes.imshow(
            similarity.reshape(grid), vmin=similarities.min(), vmax=1, interpolation="nearest"
        )
        axes.set_xticks([])
        axes.set_yticks([])
    figure.colorbar(image, ax=panels, label="cosine similarity")
    figure.supxlabel("column", fontsize="medium")
    figure.supylabel("row", fontsize="medium")
    return figure
