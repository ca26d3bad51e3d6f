"""Images side by side: examples of a data set, patches of an image, frames of a video."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Shaped
from matplotlib.figure import Figure

from flax_transformer.visualization.given_arrays import pixel_bytes
from flax_transformer.visualization.pictures import NO_TICKS, new_figure

# Inches of an image's longer side, and of a name above it.
_SIDE, _NAME = 1.1, 0.3


def plot_images(
    images: Shaped[Array | np.ndarray, "number height width channels"],
    names: Sequence[str] = (),
    columns: int = 8,
) -> Figure:
    """Draws images of one size row by row, all on one scale from black to white.

    Args:
        images: integers up to 255 or fractions up to 1, with one channel or three. They may also be
            patches of an image or frames of a video.
        names: one string per image, written above it; optional.
        columns: images per row.

    Returns:
        The figure, a panel for each image.

    Raises:
        ValueError: without images, or if the numbers of names and images differ.
        UserError: if a value is not a pixel.

    Example:
        >>> halves = np.array([0, 255, 51, 204]).reshape(2, 1, 2, 1)
        >>> figure = plot_images(halves, ["left", "right"])
        >>> [(axes.get_title(), axes.images[0].get_array().tolist()) for axes in figure.axes]
        [('left', [[0, 255]]), ('right', [[51, 204]])]
    """
    pixels = np.asarray(images)
    if pixels.ndim != 4 or pixels.shape[-1] not in (1, 3) or not pixels.size:
        raise ValueError(f"images {pixels.shape} must be [number, height, width, 1 or 3]")
    if names and len(names) != len(pixels):
        raise ValueError(f"{len(names)} names for {len(pixels)} images")
    if columns < 1:
        raise ValueError(f"columns {columns} must be at least 1")
    pixels = pixel_bytes("images", pixels)
    columns = min(columns, len(pixels))
    rows = -(-len(pixels) // columns)
    height, width = _SIDE * np.array(pixels.shape[1:3]) / max(pixels.shape[1:3])
    size = (columns * width + 0.2, rows * (height + _NAME * bool(names)) + 0.2)
    figure, panels = new_figure(*size, rows, columns, len(pixels), subplot_kw=NO_TICKS)
    for axes, image, name in zip(panels, pixels, names or [""] * len(pixels), strict=True):
        shown = image[..., 0] if image.shape[-1] == 1 else image
        axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(name, fontsize="small")
    return figure
