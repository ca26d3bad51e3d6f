"""A picture of what each part of a model is worth."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from flax_transformer.visualization.matrices import draw_matrix
from flax_transformer.visualization.pictures import new_figure


def plot_ablation(
    effects: Mapping[str, Float[np.ndarray, "layers parts"]], score: str = "loss"
) -> Figure:
    """Draws how a score changes without each part of a model, a panel for each kind of part.

    Args:
        effects: kind, such as "decoder.cross_attention" -> changes of the score [layers, heads], or
            [layers, 1] for feed-forward networks and whole layers.
        score: name of the score.

    Returns:
        The figure. The panels of whole layers have one scale, and all others another.

    Raises:
        ValueError: if there is nothing to draw.

    Example:
        >>> figure = plot_ablation({"decoder.self_attention": np.array([[0.5, -0.1]])})
        >>> figure.axes[0].get_title()
        'decoder.self_attention'
    """
    if not effects:
        raise ValueError("effects must hold at least one kind of part")
    columns = min(len(effects), 4)
    rows = -(-len(effects) // columns)
    figure, panels = new_figure(max(3.6 * columns, 6.4), 2.9 * rows, rows, columns, len(effects))
    for axes, (kind, array) in zip(panels, effects.items(), strict=True):
        is_layer = kind.endswith(".layer")
        # Whole layers are worth much more than their parts.
        among = [x.ravel() for name, x in effects.items() if name.endswith(".layer") == is_layer]
        names = "head" if array.shape[1] > 1 else ["whole"]
        draw_matrix(axes, array, kind, "layer", names, np.concatenate(among))
        for (layer, part), value in np.ndenumerate(array):
            # Readable on light and dark cells.
            red, green, blue, _ = axes.images[0].to_rgba(value)
            ink = "black" if 0.3 * red + 0.6 * green + 0.1 * blue > 0.5 else "white"
            # Adding zero removes the sign of -0.
            text = axes.text(part, layer, f"{round(value, 3) + 0.0:.3g}", fontsize="small")
            text.set(ha="center", va="center", color=ink)
    figure.suptitle(f"change of the {score} without each part")
    return figure
