"""Curves of formulas: activations, the softmax of scores, label smoothing."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flax_transformer.functional.feed_forward import ACTIVATIONS
from flax_transformer.functional.losses import SmoothingOver, label_smoothed_cross_entropy
from flax_transformer.visualization.lines import draw_lines
from flax_transformer.visualization.pictures import COLORS, new_figure, style_axes

_INPUTS = np.linspace(-4, 2, 121)
# Random queries for each width; their mean is one point.
_NUM_QUERIES = 256
# Range of the target's logit above the others, in nats.
_MARGINS = np.linspace(0, 12, 97)


def plot_activations() -> Figure:
    """Draws every activation of one number; gated ones multiply such a curve by a second number.

    Returns:
        The figure: each activation as a line, against the hidden unit.

    Example:
        >>> lines = plot_activations().axes[0].get_lines()
        >>> [line.get_label() for line in lines][0], lines[0].get_ydata()[[0, -1]].tolist()
        ('relu', [0.0, 2.0])

    Reference:
        Vaswani et al. 2017, section 3.3 (ReLU); Hendrycks and Gimpel 2016 (GELU).
    """
    inputs = jnp.asarray(_INPUTS, jnp.float32)
    lines = {
        name: np.stack([_INPUTS, entry.function(inputs)], axis=1)
        for name, entry in ACTIVATIONS.items()
        if not entry.is_gated
    }
    figure, (axes,) = new_figure(7.6, 4.2)
    draw_lines(axes, lines, "activation", "hidden unit")
    return figure


def plot_saturation(
    head_dims: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
    num_keys: int = 16,
    seed: int = 0,
) -> Figure:
    """Draws the softmax of random scores with and without division by sqrt(head_dim).

    The product of two vectors of standard normal numbers has the variance head_dim. Without the
    division, one key gets nearly all the weight as heads grow wider, and the derivatives of the
    weights p by the scores s vanish. Training needs these derivatives:

    dp_i / ds_j = p_i ([i = j] - p_j)

    Args:
        head_dims: widths of a head, each at least 1.
        num_keys: keys that a query attends to.
        seed: of the random numbers.

    Returns:
        The figure: the largest weight of a query, and the root of the summed squares of the
        derivatives, against the width; each is a mean over many queries.

    Raises:
        ValueError: without widths, or with fewer than two keys.

    Example:
        >>> weights, _ = plot_saturation([2, 512]).axes
        >>> divided, not_divided = (line.get_ydata()[-1] for line in weights.get_lines())
        >>> bool(divided < 0.4), bool(not_divided > 0.9)
        (True, True)

    Reference:
        Vaswani et al. 2017, section 3.2.1 and footnote 4.
    """
    if not head_dims or min(head_dims) < 1 or num_keys < 2:
        raise ValueError(f"head_dims {head_dims} must be at least 1, and num_keys {num_keys} 2")
    rng = np.random.default_rng(seed)
    ways = ("divided", "not divided")
    largest, slopes = ({way: [] for way in ways} for _ in range(2))
    for head_dim in head_dims:
        query = rng.normal(size=(_NUM_QUERIES, head_dim))
        key = rng.normal(size=(_NUM_QUERIES, num_keys, head_dim))
        scores = np.einsum("qd,qkd->qk", query, key)
        for way, divisor in zip(ways, (head_dim**0.5, 1.0), strict=True):
            weights = np.asarray(jax.nn.softmax(scores / divisor), np.float64)
            largest[way].append((head_dim, float(weights.max(axis=-1).mean())))
            slopes[way].append((head_dim, float(_slope(weights).mean())))
    drawn = {
        f"largest of {num_keys} weights": largest,
        "size of the derivatives of the weights by the scores": slopes,
    }
    figure, panels = new_figure(13, 4, columns=2)
    for axes, (title, lines) in zip(panels, drawn.items(), strict=True):
        axes.set_xscale("log", base=2)
        draw_lines(axes, lines, title, "head_dim", bottom=0.0)
    return figure


def _slope(weights: Float[np.ndarray, "queries keys"]) -> Float[np.ndarray, " queries"]:
    products = weights[:, :, None] * (np.eye(weights.shape[1]) - weights[:, None, :])
    return np.sqrt((products**2).sum(axis=(1, 2)))


def plot_label_smoothing(
    vocab_size: int = 7,
    target: int = 3,
    label_smoothing: float = 0.1,
    smoothing_over: SmoothingOver = "vocab",
) -> Figure:
    """Draws the smoothed target, and the loss as the model becomes confident.

    Without smoothing, the loss always falls as the logits grow. With smoothing, the loss is lowest
    if the model gives the target the probability q(target), and rises beyond.

    Args:
        vocab_size: number of tokens; few, so that the bar of each is visible.
        target: id of the right token.
        label_smoothing: probability mass spread over other tokens, in [0, 1).
        smoothing_over: see `label_smoothed_cross_entropy`.

    Returns:
        The figure: left, the target probability q(k) of every token; right, the loss in nats
        against the distance of the target's logit from all others, with and without smoothing.

    Raises:
        ValueError: if the target is not a token, or see `label_smoothed_cross_entropy`.

    Example:
        >>> figure = plot_label_smoothing(vocab_size=5, target=1, label_smoothing=0.5)
        >>> [float(bar.get_height().round(2)) for bar in figure.axes[0].patches]
        [0.1, 0.6, 0.1, 0.1, 0.1]

    Reference:
        Szegedy et al. 2016, section 7.
    """
    if not 0 <= target < vocab_size:
        raise ValueError(f"target {target} must be a token id below vocab_size {vocab_size}")

    def loss(logits: jax.Array, smoothing: float) -> jax.Array:
        token, weight = jnp.array(target), jnp.ones(())
        return label_smoothed_cross_entropy(logits, token, weight, smoothing, smoothing_over)[0]

    # The gradient by the logits is softmax(logits) - q, so at equal logits it gives q.
    asked = 1 / vocab_size - jax.grad(loss)(jnp.zeros(vocab_size), label_smoothing)
    logits = jnp.asarray(_MARGINS)[:, None] * (jnp.arange(vocab_size) == target)
    lines = {
        f"smoothing {smoothing:g}": np.stack(
            [_MARGINS, jax.vmap(loss, (0, None))(logits, smoothing)], axis=1
        )
        for smoothing in (label_smoothing, 0.0)
    }
    figure, (bars, losses) = new_figure(12, 4.2, columns=2)
    _draw_bars(bars, np.asarray(asked), target)
    title = "logit of the target above all others, nats"
    draw_lines(losses, lines, "loss, nats", title, bottom=0.0)
    return figure


def _draw_bars(axes: Axes, asked: np.ndarray, target: int) -> None:
    tokens = range(len(asked))
    colors = [COLORS[1] if token == target else COLORS[0] for token in tokens]
    axes.bar_label(axes.bar(tokens, asked, color=colors), fmt="{:.3g}", fontsize="small")
    style_axes(axes, "probability asked of each token", "token id", loc="left")
    names = [f"{token}\ntarget" if token == target else f"{token}" for token in tokens]
    axes.set(xticks=tokens, xticklabels=names, ylim=(0, 1.05), axisbelow=True)
    axes.tick_params(axis="x", length=0)
