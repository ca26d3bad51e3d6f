"""Why attention divides its scores: without it the softmax saturates."""

from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from flax_transformer.visualization.lines import Point, draw_lines

# Queries drawn for each width, whose mean is one point.
_NUM_QUERIES = 256


def plot_saturation(
    head_dims: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
    num_keys: int = 16,
    seed: int = 0,
) -> Figure:
    """Draws what the softmax makes of random queries and keys, with and without the division.

    The product of two vectors of standard normal numbers has the variance head_dim. So without the
    division by sqrt(head_dim) one key gets nearly all the weight as heads grow wider, and the
    derivatives of the weights p by the scores s, which training needs, go to zero:

    dp_i / ds_j = p_i ([i = j] - p_j)

    Args:
        head_dims: widths of a head, each at least 1.
        num_keys: keys that a query attends to.
        seed: of the random numbers.

    Returns:
        The figure: over the width, the largest weight of a query, and the root of the summed
        squares of the derivatives; each the mean of many queries.

    Raises:
        ValueError: if there is no width, or nothing to attend to.

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
    largest: dict[str, list[Point]] = {"divided": [], "not divided": []}
    slopes: dict[str, list[Point]] = {"divided": [], "not divided": []}
    for head_dim in head_dims:
        query = rng.normal(size=(_NUM_QUERIES, head_dim))
        key = rng.normal(size=(_NUM_QUERIES, num_keys, head_dim))
        scores = np.einsum("qd,qkd->qk", query, key)
        for name, divisor in (("divided", head_dim**0.5), ("not divided", 1.0)):
            weights = np.asarray(jax.nn.softmax(scores / divisor), np.float64)
            largest[name].append((head_dim, float(weights.max(axis=-1).mean())))
            slopes[name].append((head_dim, float(_slope(weights).mean())))
    figure = Figure(figsize=(13, 4), dpi=100, layout="constrained")
    for axes, lines, title in zip(
        figure.subplots(1, 2),
        (largest, slopes),
        (f"largest of {num_keys} weights", "size of the derivatives of the weights by the scores"),
        strict=True,
    ):
        axes.set_xscale("log", base=2)
        draw_lines(axes, lines, bottom=0.0)
        axes.set_title(title, loc="left")
        axes.set_xlabel("head_dim")
    return figure


def _slope(weights: Float[np.ndarray, "queries keys"]) -> Float[np.ndarray, " queries"]:
    products = weights[:, :, None] * (np.eye(weights.shape[1]) - weights[:, None, :])
    return np.sqrt((products**2).sum(axis=(1, 2)))
