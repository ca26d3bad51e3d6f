"""The functions inside feed-forward networks as curves."""

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from flax_transformer.functional.feed_forward import ACTIVATIONS
from flax_transformer.visualization.lines import draw_lines

_INPUTS = np.linspace(-4, 2, 121)


def plot_activations() -> Figure:
    """Draws every activation of one number; gated ones take two and are such a curve times another.

    Returns:
        The figure: activations over the hidden unit, one line each.

    Example:
        >>> lines = plot_activations().axes[0].get_lines()
        >>> [line.get_label() for line in lines][0], lines[0].get_ydata()[[0, -1]].tolist()
        ('relu', [0.0, 2.0])

    Reference:
        Vaswani et al. 2017, section 3.3 (ReLU); Hendrycks and Gimpel 2016 (GELU).
    """
    inputs = jnp.asarray(_INPUTS, jnp.float32)
    lines = {
        name: list(zip(_INPUTS.tolist(), entry.function(inputs).tolist(), strict=True))
        for name, entry in ACTIVATIONS.items()
        if not entry.is_gated
    }
    figure = Figure(figsize=(7.6, 4.2), dpi=100, layout="constrained")
    axes = figure.subplots()
    draw_lines(axes, lines)
    axes.set_title("activation", loc="left")
    axes.set_xlabel("hidden unit")
    return figure
