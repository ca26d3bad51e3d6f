"""Layer and batch normalisation beside each other."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from flax_transformer.functional.normalization import batch_norm, batch_statistics, layer_norm
from flax_transformer.visualization.matrices import draw_matrix


def plot_normalization(inputs: Float[Array, "tokens d_model"]) -> Figure:
    """Draws what layer and batch normalisation make of tokens, and of another first token.

    Layer normalisation gives every row mean 0 and variance 1, batch normalisation every column. So
    a change of one token stays in its row with the first, and reaches all tokens with the second.

    Args:
        inputs: one row a token, all of them tokens of one batch.

    Returns:
        The figure, three panels above three: the inputs and both results, with a frame around what
        shares one mean and variance; below them what changes when the first token changes its sign
        and is doubled.

    Raises:
        ValueError: if there are fewer than two tokens or two features, of which each is its mean.

    Example:
        >>> figure = plot_normalization(jnp.array([[1.0, 3.0], [5.0, 9.0]]))
        >>> [axes.images[0].get_array().round(3).tolist() for axes in figure.axes[1:3]]
        [[[-1.0, 1.0], [-1.0, 1.0]], [[-1.0, -1.0], [1.0, 1.0]]]

    Reference:
        Ba et al. 2016, "Layer Normalization", section 3; Ioffe and Szegedy 2015, "Batch
        Normalization", section 3.
    """
    if inputs.ndim != 2 or min(inputs.shape) < 2:
        raise ValueError(f"inputs {inputs.shape} must be [tokens, d_model], at least two of each")
    figure = Figure(figsize=(13, 6.4), dpi=100, layout="constrained")
    panels = figure.subplots(2, 3)
    changed = inputs.at[0].multiply(-2)
    for (above, below), (name, normalise) in zip(panels.T, _NORMS.items(), strict=True):
        values = normalise(inputs)
        draw_matrix(above, np.asarray(values), name, "token", "feature")
        change = np.asarray(normalise(changed) - values)
        draw_matrix(below, change, "change, if token 0 is another", "token", "feature")
    tokens, d_model = inputs.shape
    for axes, width, height in ((panels[0, 1], d_model, 1), (panels[0, 2], 1, tokens)):
        _frame(axes, width, height)
    return figure


def _layer_norm(inputs: Array) -> Array:
    ones = jnp.ones(inputs.shape[-1])
    return layer_norm(inputs, ones, 0 * ones)


def _batch_norm(inputs: Array) -> Array:
    ones = jnp.ones(inputs.shape[-1])
    return batch_norm(inputs, *batch_statistics(inputs), ones, 0 * ones)


_NORMS: dict[str, Callable[[Array], Array]] = {
    "inputs": lambda inputs: inputs,
    "layer normalisation, each row by itself": _layer_norm,
    "batch normalisation, each column by itself": _batch_norm,
}


def _frame(axes: Axes, width: int, height: int) -> None:
    """Draws a frame around the first cells, which one mean and variance are taken of."""
    corner = (-0.5, -0.5)
    axes.add_patch(Rectangle(corner, width, height, fill=False, linewidth=3, clip_on=False))
