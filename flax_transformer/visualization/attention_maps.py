"""Attention weights and masks as maps: one row per query, one column per key."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from flax_transformer.functional.array_types import check_masks
from flax_transformer.functional.attention import attend
from flax_transformer.visualization.matrices import draw_matrix, name_axis
from flax_transformer.visualization.pictures import COLORS, new_figure

_HEADS_A_ROW = 4
# Inches per token, enough to read its name, and inches around the matrix.
_TOKEN, _MARGIN = 0.28, 1.2
_FORBIDDEN = "0.93"


def plot_attention(
    weights: Float[Array | np.ndarray, "heads queries keys"],
    tokens: Sequence[str],
    target_tokens: Sequence[str] | None = None,
) -> Figure:
    """Draws the attention weights of one layer, one map per head, all on one scale.

    Args:
        weights: of one example and one layer, as returned by `attend`.
        tokens: one string per key, and per query without `target_tokens`.
        target_tokens: one string per query of cross-attention.

    Returns:
        The figure: queries downwards, keys to the right, white where the weight is 0.

    Raises:
        ValueError: if the weights are empty, have a wrong shape, or do not fit the tokens.

    Example:
        >>> figure = plot_attention(np.full((2, 3, 3), 1 / 3), ["one", "more", "word"])
        >>> [axes.get_title() for axes in figure.axes[:2]]
        ['head 0', 'head 1']

    Reference:
        Bahdanau et al. 2015, section 5.2.1 (maps of alignments); Vaswani et al. 2017, section
        3.2.2 (heads).
    """
    values = np.asarray(weights, np.float64)
    if values.ndim != 3 or not values.size:
        raise ValueError(f"weights {values.shape} must be [heads, queries, keys] of one layer")
    queries = _queries("weights", values.shape[1:], tokens, target_tokens)
    num_rows = -(-len(values) // _HEADS_A_ROW)
    num_columns = -(-len(values) // num_rows)
    width, height = (_TOKEN * len(side) + _MARGIN for side in (tokens, queries))
    size = (num_columns * width + 0.8, num_rows * height)
    figure, panels = new_figure(*size, num_rows, num_columns, number=len(values))
    figure.set_layout_engine("compressed")
    for head, axes in enumerate(panels):
        axes.imshow(values[head], cmap="Blues", vmin=0, vmax=values.max())
        axes.set_title(f"head {head}", fontsize="medium")
        _name_tokens(axes, queries, tokens)
    scale = {"aspect": 20 * num_rows, "pad": 0.02, "label": "weight; those of a query sum to 1"}
    figure.colorbar(panels[0].images[0], ax=panels, **scale)
    return figure


def plot_mask(
    mask: Bool[Array | np.ndarray, "queries keys"],
    tokens: Sequence[str],
    target_tokens: Sequence[str] | None = None,
) -> Figure:
    """Draws an attention mask.

    Args:
        mask: of one example, True where a query may attend to a key.
        tokens: one string per key, and per query without `target_tokens`.
        target_tokens: one string per query of cross-attention.

    Returns:
        The figure: queries downwards, keys to the right.

    Raises:
        ValueError: if the mask is empty, not boolean, not a matrix, or does not fit the tokens.

    Example:
        >>> from flax_transformer.functional import causal_mask
        >>> figure = plot_mask(causal_mask(3), ["<s>", "one", "word"])
        >>> figure.axes[0].images[0].get_array().tolist()
        [[1, 0, 0], [1, 1, 0], [1, 1, 1]]

    Reference:
        Vaswani et al. 2017, section 3.2.3 (the causal mask).
    """
    check_masks(mask=mask)
    values = np.asarray(mask).astype(int)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"mask {values.shape} must be [queries, keys]")
    queries = _queries("mask", values.shape, tokens, target_tokens)
    width, height = (_TOKEN * len(side) + 2 * _MARGIN for side in (tokens, queries))
    figure, (axes,) = new_figure(width, height)
    axes.imshow(values, cmap=ListedColormap([_FORBIDDEN, COLORS[0]]), vmin=0, vmax=1)
    _name_tokens(axes, queries, tokens)
    # White lines between the cells make them countable.
    axes.set_xticks(np.arange(len(tokens) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(queries) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)
    colors = {"may attend": COLORS[0], "may not": _FORBIDDEN}
    meanings = [Patch(color=color, label=label) for label, color in colors.items()]
    figure.legend(handles=meanings, loc="outside upper center", ncols=2, frameon=False)
    return figure


def plot_attention_steps(
    query: Float[Array | np.ndarray, "length head_dim"],
    key: Float[Array | np.ndarray, "length head_dim"],
    value: Float[Array | np.ndarray, "length value_dim"],
    tokens: Sequence[str],
    mask: Bool[Array | np.ndarray, "length length"] | None = None,
) -> Figure:
    """Draws the steps of `attend`: scores, scaled scores, weights and output.

    scores = query key^T,  weights = softmax(scores / sqrt(head_dim)),  output = weights value

    Args:
        query: what each token looks for.
        key: what each token offers.
        value: what each token passes on.
        tokens: one string per token.
        mask: True where a token may attend to another; masked cells are white.

    Returns:
        The figure: queries downwards, keys to the right; both kinds of scores are on one scale.

    Raises:
        ValueError: if the number of tokens is not that of the vectors, or the shapes do not fit.

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
    side = _TOKEN * len(tokens) + _MARGIN + 0.2
    figure, panels = new_figure(4 * side, side, columns=4)
    draw_matrix(panels[0], scores, "scores", "query", "key", scores)
    draw_matrix(panels[1], scaled, "divided by the root of head_dim", "query", "key", scores)
    seen = np.ma.array(np.asarray(weights), mask=scores.mask)
    draw_matrix(panels[2], seen, "weights: each row's softmax", "query", "key")
    draw_matrix(panels[3], np.asarray(output), "output: weighted sum of values", tokens, "feature")
    for axes in panels[:3]:
        name_axis(axes.yaxis, tokens)
        name_axis(axes.xaxis, tokens)
    return figure


def _queries(
    name: str, shape: tuple[int, ...], keys: Sequence[str], target_tokens: Sequence[str] | None
) -> Sequence[str]:
    """The tokens of the queries; checks that the tokens fit the shape."""
    queries = keys if target_tokens is None else target_tokens
    if shape != (len(queries), len(keys)):
        raise ValueError(
            f"{name} of {shape[0]} queries and {shape[1]} keys do not fit {len(queries)} query and "
            f"{len(keys)} key tokens"
        )
    return queries


def _name_tokens(axes: Axes, queries: Sequence[str], keys: Sequence[str]) -> None:
    name_axis(axes.xaxis, keys)
    name_axis(axes.yaxis, queries)
    axes.tick_params(labelsize="small")
    axes.set(xlabel="key", ylabel="query")
