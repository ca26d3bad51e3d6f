"""Token embeddings: one-hot vectors times a matrix, computed or looked up; and the way back."""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flax_transformer.functional.array_types import (
    along_last_axes,
    at_least_float32,
    check_integers,
)
from flax_transformer.functional.attention import soft_cap


@jax.jit
def embed(
    tokens: Int[Array, "*batch"], table: Float[Array, "vocab d_model"]
) -> Float[Array, "*batch d_model"]:
    """Looks tokens up in a table.

    table[token]

    It is the product of `embed_one_hot`, and its gradient the same, without the zeros.

    Args:
        tokens: token ids in [0, vocab); any other gives NaN, never a wrong row.
        table: one row a token.

    Returns:
        The rows of the tokens.

    Raises:
        ValueError: if the table is not a matrix, or the tokens are not integers.

    Example:
        >>> table = jnp.array([[1.0, 2.0], [3.0, 4.0]])
        >>> embed(jnp.array([1]), table).tolist(), embed_one_hot(jnp.array([1]), table).tolist()
        ([[3.0, 4.0]], [[3.0, 4.0]])

    Reference:
        Vaswani et al. 2017, section 3.4.
    """
    _check(table)
    check_integers(tokens=tokens)
    return table.at[tokens].get(mode="fill", wrap_negative_indices=False)


@jax.jit
def embed_one_hot(
    tokens: Int[Array, "*batch"], table: Float[Array, "vocab d_model"]
) -> Float[Array, "*batch d_model"]:
    """Multiplies one-hot vectors by a matrix: what an embedding is by definition.

    one_hot(token) table,  one_hot(token)_k = [k = token]

    `embed` gives the same at the cost of one row in place of the whole matrix.

    Args:
        tokens: token ids in [0, vocab); any other gives zeros.
        table: one row a token.

    Returns:
        The products, which are the rows of the tokens.

    Raises:
        ValueError: if the table is not a matrix, or the tokens are not integers.

    Example:
        >>> embed_one_hot(jnp.array(1), jnp.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
        [3.0, 4.0]

    Reference:
        Vaswani et al. 2017, section 3.4.
    """
    _check(table)
    check_integers(tokens=tokens)
    one_hot = jax.nn.one_hot(tokens, table.shape[0], dtype=table.dtype)
    # Accelerators round the factors of a product unless told; a row shall come out as it is.
    return jnp.matmul(one_hot, table, precision="highest")


@functools.partial(jax.jit, static_argnames="cap")
def token_logits(
    hidden: Float[Array, "*batch d_model"],
    table: Float[Array, "vocab d_model"],
    bias: Float[Array, " vocab"] | None = None,
    cap: float | None = None,
) -> Float[Array, "*batch vocab"]:
    """Scores every token of the vocabulary by a matrix of one row a token.

    hidden table^T + bias

    Args:
        hidden: one vector a position.
        table: one row a token: the matrix that embeds them, or one of its own.
        bias: added to the logits of each token.
        cap: soft cap of the logits, see `soft_cap`; none if None.

    Returns:
        The logits, float32 at least: rounded to 16 bits, likely tokens would be alike.

    Raises:
        ValueError: if the table or the bias does not fit.

    Example:
        >>> token_logits(jnp.array([1.0, 2.0]), jnp.array([[1.0, 0.0], [3.0, 4.0]])).tolist()
        [1.0, 11.0]

    Reference:
        Vaswani et al. 2017, section 3.4.
    """
    _check(table)
    if hidden.shape[-1:] != table.shape[1:]:
        raise ValueError(f"hidden {hidden.shape} and table {table.shape} differ in d_model")
    wide = at_least_float32(hidden.dtype)
    # Two matrices: with more axes, jax 0.7.2 cannot multiply 16 bits into float32.
    flat = hidden.reshape(math.prod(hidden.shape[:-1]), hidden.shape[-1])
    logits = jnp.einsum("bd,vd->bv", flat, table, preferred_element_type=wide)
    if bias is not None:
        if bias.shape != table.shape[:1]:
            raise ValueError(f"bias {bias.shape} does not fit table {table.shape}")
        logits = logits + along_last_axes(bias.astype(wide), 2)
    if cap is not None:
        logits = soft_cap(logits, cap)
    return logits.reshape(*hidden.shape[:-1], table.shape[0])


def _check(table: Array) -> None:
    if table.ndim != 2:
        raise ValueError(f"table {table.shape} must be a matrix [vocab, d_model]")
