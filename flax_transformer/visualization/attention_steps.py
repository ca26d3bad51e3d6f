"""Attention of one head, step by step."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from matplotlib.figure import Figure

from flax_transformer.functional.attention import attend
from flax_transformer.visualization.matrices import draw_matrix, name_columns, name_rows

# Inches a token, so that its name can be read, and those around a matrix.
_TOKEN, _MARGIN = 0.28, 1.4


def plot_attention_steps(
    query: Float[Array | np.ndarray, "length head_dim"],
    key: Float[Array | np.ndarray, "length head_dim"],
    value: Float[Array | np.ndarray, "length value_dim"],
    tokens: Sequence[str],
    mask: Bool[Array | np.ndarray, "length length"] | None = None,
) -> Figure:
    """Draws the steps of `attend`: scores, scaled scores, weights and what they make of the values.

    scores = query key^T,  weights = softmax(scores / sqrt(head_dim)),  output = weights value

    Args:
        query: what each token looks for.
        key: what each token offers.
        value: what each token passes on.
        tokens: one string a token.
        mask: True where a token may attend to another; what is masked stays white.

    Returns:
        The figure: queries downwards, keys to the right; both kinds of scores are on one scale.

    Raises:
        ValueError: if the tokens are not as many as the vectors, or the shapes do not fit.

    Example:
        >>> eye = np.eye(2, dtype=np.float32)
        >>> figure = plot_attention_steps(2 * eye, eye, eye, ["a", "b"])
        >>> figure.axes[1].images[0].get_array().round(3).tolist()
        [[1.414, 0.0], [0.0, 1.414]]

    Reference:
        Vaswani et al. 2017, section 3.2.1 and figure 2.
    """
    if not len(query) == len(key) == len(tokens):
        raise ValueError(
            f"query {query.shape} and key {key.shape} must have a row for each of "
            f"{len(tokens)} tokens"
        )
    may_attend = jnp.ones((len(query), len(key)), bool) if mask is None else jnp.asarray(mask)
    output, weights = attend(
        *map(jnp.asarray, (query, key, value)), mask=may_attend, return_weights=True
    )
    scores = np.ma.array(np.asarray(query @ key.T, np.float64), mask=~np.asarray(may_attend))
    scaled = scores / math.sqrt(query.shape[-1])
    side = _TOKEN * len(tokens) + _MARGIN
    figure = Figure((4 * side, side), dpi=100, layout="constrained")
    panels = figure.subplots(1, 4)
    draw_matrix(panels[0], scores, "scores", "query", "key", scores)
    draw_matrix(panels[1], scaled, "divided by the root of head_dim", "query", "key", scores)
    seen = np.ma.array(np.asarray(weights), mask=scores.mask)
    draw_matrix(panels[2], seen, "weights: each row's softmax", "query", "key")
    draw_matrix(panels[3], np.asarray(output), "output: weighted sum of values", "", "feature")
    for axes in panels:
        name_rows(axes, tokens)
    for axes in panels[:3]:
        name_columns(axes, tokens)
    return figure
