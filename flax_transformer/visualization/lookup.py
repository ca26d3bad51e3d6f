"""What an embedding is: one-hot vectors times a table, which picks its rows."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from matplotlib.figure import Figure

from flax_transformer.functional.embedding import embed_one_hot
from flax_transformer.visualization.matrices import draw_matrix, name_columns, name_rows


def plot_lookup(
    tokens: Int[Array, " length"], table: Float[Array, "vocab d_model"], words: Sequence[str]
) -> Figure:
    """Draws one-hot vectors, the table they are multiplied by, and the product.

    one_hot(token) table = table[token]

    Args:
        tokens: token ids in [0, vocab).
        table: one row a token of the vocabulary.
        words: what each id stands for.

    Returns:
        The figure, a panel for each factor and one for the product.

    Raises:
        ValueError: if a token has no row, or the words are not as many as the rows.

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
    figure = Figure(figsize=(13, 0.4 * max(len(tokens), len(table)) + 1.2), layout="constrained")
    factor, rows, result = figure.subplots(1, 3)
    draw_matrix(factor, np.asarray(one_hot), "one-hot vectors", "", "token id")
    draw_matrix(rows, np.asarray(table), "times the table", "", "feature")
    draw_matrix(result, np.asarray(product), "are rows of the table", "", "feature")
    text = [str(words[token]) for token in tokens.tolist()]
    name_rows(factor, text)
    name_rows(rows, words)
    name_rows(result, text)
    name_columns(factor, [str(token) for token in range(len(table))])
    return figure
