"""Matrices as colors with their scale: any, an embedding table, and two normalizations."""

from collections.abc import Callable, Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from flax_transformer.functional.normalization import batch_norm, batch_statistics, layer_norm
from flax_transformer.functional.projection import embed_one_hot
from flax_transformer.visualization.pictures import new_figure
from flax_transformer.visualization.visible_text import visible_token

# Inches per row, enough to read its name, and inches around the rows.
_ROW, _MARGIN = 0.28, 1.2


def plot_matrices(
    matrices: Mapping[str, Float[Array | np.ndarray, "rows _"]],
    row_names: Sequence[str] = (),
    columns: str | Sequence[str] = "feature",
) -> Figure:
    """Draws matrices side by side, on one scale for comparison.

    Args:
        matrices: title -> matrix; all have the same number of rows.
        row_names: one string per row, such as its token; rows are numbered if not given.
        columns: label of the columns; or one string per column, if all matrices have as many.

    Returns:
        The figure, a panel for each matrix.

    Raises:
        ValueError: if there is nothing to draw, or the number of names does not fit the rows or
            columns.

    Example:
        >>> figure = plot_matrices({"before": np.eye(2), "after": 3 * np.eye(2)}, ["a", "b"])
        >>> [axes.images[0].get_clim() for axes in figure.axes[:2]]
        [(0.0, 3.0), (0.0, 3.0)]
    """
    arrays = {title: np.asarray(matrix, np.float64) for title, matrix in matrices.items()}
    column_names = () if isinstance(columns, str) else columns
    _check(arrays, row_names, column_names)
    values = np.concatenate([array.ravel() for array in arrays.values()])
    num_rows = len(next(iter(arrays.values())))
    height = np.clip(_ROW * num_rows + _MARGIN, 2, 8)
    figure, panels = new_figure(4.4 * len(arrays), height, columns=len(arrays))
    for axes, (title, array) in zip(panels, arrays.items(), strict=True):
        draw_matrix(axes, array, title, row_names or "row", columns, values)
    return figure


def plot_lookup(
    tokens: Int[Array, " length"], table: Float[Array, "vocab d_model"], words: Sequence[str]
) -> Figure:
    """Draws an embedding lookup as a product of one-hot vectors and a table.

    one_hot(token) table = table[token]

    Args:
        tokens: token ids in [0, vocab).
        table: one row per token of the vocabulary.
        words: the word of each token id.

    Returns:
        The figure, a panel for each factor and one for the product.

    Raises:
        ValueError: if a token is not in the table, or the numbers of words and rows differ.

    Example:
        >>> figure = plot_lookup(jnp.array([1, 1]), jnp.array([[1.0], [5.0]]), ["a", "b"])
        >>> [axes.images[0].get_array().tolist() for axes in figure.axes[:3]]
        [[[0.0, 1.0], [0.0, 1.0]], [[1.0], [5.0]], [[5.0], [5.0]]]

    Reference:
        Vaswani et al. 2017, section 3.4.
    """
    if len(words) != len(table):
        raise ValueError(f"{len(words)} words for a table {table.shape} of as many rows")
    if tokens.ndim != 1 or not tokens.size or not 0 <= tokens.min() <= tokens.max() < len(table):
        raise ValueError(f"tokens {tokens.tolist()} must be a row of ids in [0, {len(table)})")
    one_hot = embed_one_hot(tokens, jnp.eye(len(table)))
    product = embed_one_hot(tokens, table)
    text = [str(words[token]) for token in tokens.tolist()]
    figure, (factor, rows, result) = new_figure(
        13, 0.4 * max(len(tokens), len(table)) + 1.2, columns=3
    )
    draw_matrix(factor, np.asarray(one_hot), "one-hot vectors", text, "token id")
    name_axis(factor.xaxis, list(map(str, range(len(table)))))
    draw_matrix(rows, np.asarray(table), "times the table", words, "feature")
    draw_matrix(result, np.asarray(product), "are rows of the table", text, "feature")
    return figure


def plot_normalization(inputs: Float[Array, "tokens d_model"]) -> Figure:
    """Draws layer and batch normalization of tokens, and the effect of another first token.

    Layer normalization gives every row mean 0 and variance 1; batch normalization does so for every
    column. So a change of one token affects only its row with the former, and all tokens with the
    latter.

    Args:
        inputs: one row per token; all tokens are of one batch.

    Returns:
        The figure, two rows of three panels: the inputs and both results, with a frame around the
        cells that share one mean and variance; below, the change of each panel if the first token
        is multiplied by -2.

    Raises:
        ValueError: if there are fewer than two tokens or two features; one number is its own mean.

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
    ones, zeros = jnp.ones(inputs.shape[1]), jnp.zeros(inputs.shape[1])
    norms: dict[str, Callable[[Array], Array]] = {
        "inputs": lambda x: x,
        "layer normalization, each row by itself": lambda x: layer_norm(x, ones, zeros),
        "batch normalization, each column by itself": lambda x: batch_norm(
            x, *batch_statistics(x), ones, zeros
        ),
    }
    changed = inputs.at[0].multiply(-2)
    figure, panels = new_figure(13, 6.4, rows=2, columns=3)
    for above, below, (name, normalize) in zip(panels[:3], panels[3:], norms.items(), strict=True):
        values = normalize(inputs)
        draw_matrix(above, np.asarray(values), name, "token", "feature")
        change = np.asarray(normalize(changed) - values)
        draw_matrix(below, change, "change, if token 0 is another", "token", "feature")
    tokens, d_model = inputs.shape
    # A frame around the first cells that share one mean and variance.
    for axes, width, height in ((panels[1], d_model, 1), (panels[2], 1, tokens)):
        corner = (-0.5, -0.5)
        axes.add_patch(Rectangle(corner, width, height, fill=False, linewidth=3, clip_on=False))
    return figure


def draw_matrix(
    axes: Axes,
    matrix: np.ndarray,
    title: str,
    rows: str | Sequence[str],
    columns: str | Sequence[str],
    among: np.ndarray | None = None,
) -> None:
    """Draws a matrix in two colors around zero, or with one ramp if it has only one sign.

    Args:
        axes: to draw in; the color scale is next to them.
        matrix: [rows, columns]; masked cells are white.
        title: name of the values.
        rows: label of the rows, or one string per row, such as its token.
        columns: label of the columns, or one string per column.
        among: values that determine the color scale; the matrix itself if None.
    """
    among = matrix if among is None else among
    least, most = min(among.min(), 0), max(among.max(), 0)
    color_map = "Blues" if most > 0 else "Blues_r"
    if least < 0 < most:
        color_map, most = "RdBu_r", max(most, -least)
        least = -most
    image = axes.imshow(
        matrix, cmap=color_map, vmin=least, vmax=most, aspect="auto", interpolation="nearest"
    )
    axes.set_title(title, fontsize="medium")
    for axis, names in ((axes.yaxis, rows), (axes.xaxis, columns)):
        if isinstance(names, str):
            axis.set_major_locator(MaxNLocator("auto", integer=True))
            axis.set_label_text(names)
        else:
            name_axis(axis, names)
    axes.figure.colorbar(image, ax=axes)


def name_axis(axis: Axis, names: Sequence[str]) -> None:
    """Writes the name of each row next to it, or the name of each column below it."""
    rotation = 90 if isinstance(axis, XAxis) else 0
    axis.set_ticks(range(len(names)), list(map(visible_token, names)), rotation=rotation)
    axis.set_tick_params(length=0)


def _check(
    arrays: Mapping[str, np.ndarray], row_names: Sequence[str], column_names: Sequence[str]
) -> None:
    if not arrays:
        raise ValueError("matrices must hold at least one matrix")
    num_rows = len(row_names) or len(next(iter(arrays.values())))
    for title, array in arrays.items():
        if array.ndim != 2 or not array.size or len(array) != num_rows:
            raise ValueError(f"{title} {array.shape} must be a matrix of {num_rows} rows")
        if column_names and array.shape[1] != len(column_names):
            raise ValueError(f"{title} {array.shape} must have {len(column_names)} columns")
