"""What label smoothing asks of a model, and what it does to the loss."""

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flax_transformer.functional.losses import SmoothingOver, label_smoothed_cross_entropy
from flax_transformer.visualization.lines import COLOURS, draw_lines

# How far the target's logit rises above the others, in nats.
_MARGINS = np.linspace(0, 12, 97)


def plot_label_smoothing(
    vocab_size: int = 7,
    target: int = 3,
    label_smoothing: float = 0.1,
    smoothing_over: SmoothingOver = "vocab",
) -> Figure:
    """Draws the smoothed target, and the loss as the model grows sure of it.

    Without smoothing the loss falls for ever, and the logits grow for ever. With it, the loss is
    least where the model gives the target the probability q(target), and rises beyond.

    Args:
        vocab_size: tokens; few, so that each has a bar that can be seen.
        target: id of the right token.
        label_smoothing: probability mass spread over other tokens, in [0, 1).
        smoothing_over: see `label_smoothed_cross_entropy`.

    Returns:
        The figure: left, the probability q(k) asked of every token; right, the loss in nats over
        the distance of the target's logit from all others, with and without smoothing.

    Raises:
        ValueError: if the target is no token, or as `label_smoothed_cross_entropy` does.

    Example:
        >>> figure = plot_label_smoothing(vocab_size=5, target=1, label_smoothing=0.5)
        >>> [float(bar.get_height().round(2)) for bar in figure.axes[0].patches]
        [0.1, 0.6, 0.1, 0.1, 0.1]

    Reference:
        Szegedy et al. 2016, section 7.
    """
    if not 0 <= target < vocab_size:
        raise ValueError(f"target {target} must be a token id below vocab_size {vocab_size}")
    figure = Figure(figsize=(12, 4.2), dpi=100, layout="constrained")
    bars, losses = figure.subplots(1, 2)

    def loss(logits: jax.Array, smoothing: float) -> jax.Array:
        token, weight = jnp.array(target), jnp.ones(())
        return label_smoothed_cross_entropy(logits, token, weight, smoothing, smoothing_over)[0]

    # The gradient by the logits is softmax(logits) - q: of equal logits it tells q.
    asked = 1 / vocab_size - jax.grad(loss)(jnp.zeros(vocab_size), label_smoothing)
    _draw_bars(bars, np.asarray(asked), target)
    logits = jnp.asarray(_MARGINS)[:, None] * (jnp.arange(vocab_size) == target)
    lines = {}
    for smoothing in (label_smoothing, 0.0):
        values = np.asarray(jax.vmap(loss, (0, None))(logits, smoothing))
        lines[f"smoothing {smoothing:g}"] = list(
            zip(_MARGINS.tolist(), values.tolist(), strict=True)
        )
    draw_lines(losses, lines, bottom=0.0)
    losses.set_title("loss, nats", loc="left")
    losses.set_xlabel("logit of the target above all others, nats")
    return figure


def _draw_bars(axes: Axes, asked: np.ndarray, target: int) -> None:
    colours = [COLOURS[1] if token == target else COLOURS[0] for token in range(len(asked))]
    bars = axes.bar(range(len(asked)), asked, color=colours)
    axes.bar_label(bars, fmt="{:.3g}", fontsize="small")
    axes.set_title("probability asked of each token", loc="left")
    axes.set_xlabel("token id")
    names = [f"{token}\ntarget" if token == target else f"{token}" for token in range(len(asked))]
    axes.set_xticks(range(len(asked)), names)
    axes.tick_params(axis="x", length=0)
    axes.set_ylim(0, 1.05)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
