"""Scores of attention heads: how much a head does one simple thing.

Each score is a mean over queries of the weight at the keys that the pattern names, between 0 and 1.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Weights = Float[Array, "*layers heads queries keys"]
Scores = Float[Array, "*layers heads"]


def previous_token_score(weights: Weights) -> Scores:
    """Returns the mean weight of the token before each query, for each head.

    mean over q > 0 of weights[q, q - 1]

    Args:
        weights: of self-attention within one text without padding.

    Example:
        >>> previous_token_score(jnp.eye(3, k=-1)[None]).tolist()
        [1.0]

    Reference:
        Clark et al. 2019, "What Does BERT Look At?", section 3.1.
    """
    return jnp.mean(jnp.diagonal(weights, offset=-1, axis1=-2, axis2=-1), axis=-1)


def diagonal_score(weights: Weights) -> Scores:
    """Returns the mean weight of the key at the same place as the query, for each head.

    mean over q of weights[q, round(q (keys - 1) / (queries - 1))]

    With as many keys as queries this is the token itself. In cross-attention it finds heads that
    read the source in order.

    Args:
        weights: of one text without padding.

    Example:
        >>> diagonal_score(jnp.eye(3)[None]).tolist()
        [1.0]
    """
    queries, keys = weights.shape[-2:]
    place = jnp.round(jnp.arange(queries) * (keys - 1) / max(queries - 1, 1)).astype(int)
    return jnp.mean(weights[..., jnp.arange(queries), place], axis=-1)


def duplicate_token_score(weights: Weights, tokens: Int[Array, " length"]) -> Scores:
    """Returns the mean weight of earlier places with the token of the query, for each head.

    Args:
        weights: of self-attention within one text without padding.
        tokens: ids of the text. Queries whose token is new do not count.

    Returns:
        The scores; 0 without a repeated token.

    Example:
        >>> duplicate_token_score(jnp.eye(3, k=-2)[None], jnp.array([5, 6, 5])).tolist()
        [1.0]

    Reference:
        Wang et al. 2022, "Interpretability in the Wild", section 3.
    """
    return _at_keys(weights, _repeats(tokens))


def induction_score(weights: Weights, tokens: Int[Array, " length"]) -> Scores:
    """Returns the mean weight of places after earlier places with the token of the query.

    An induction head attends there: what followed the token before may follow it again.

    Args:
        weights: of self-attention within one text without padding.
        tokens: ids of the text. Queries whose token is new do not count.

    Returns:
        The scores; 0 without a repeated token.

    Example:
        >>> tokens = jnp.array([5, 6, 5])  # the last 5 looks at the 6 after the first 5
        >>> induction_score(jnp.eye(3, k=-1)[None], tokens).tolist()
        [1.0]

    Reference:
        Olsson et al. 2022, "In-context Learning and Induction Heads", section "Induction heads".
    """
    return _at_keys(weights, jnp.pad(_repeats(tokens)[:, :-1], ((0, 0), (1, 0))))


def attention_to(weights: Weights, is_chosen: Bool[Array, " keys"]) -> Scores:
    """Returns the mean weight of chosen keys, such as punctuation, for each head.

    mean over q of the sum over chosen k of weights[q, k]

    Args:
        weights: of one text without padding.
        is_chosen: True for the keys that count.

    Example:
        >>> attention_to(jnp.full((1, 2, 4), 0.25), jnp.array([True, False, False, True])).tolist()
        [0.5]

    Reference:
        Clark et al. 2019, section 3.2 (separators and punctuation).
    """
    return jnp.mean(jnp.sum(jnp.where(is_chosen, weights, 0), axis=-1), axis=-1)


def _repeats(tokens: Array) -> Bool[Array, "length length"]:
    """True at [q, k] if the token of q is that of an earlier place k."""
    is_same = tokens[:, None] == tokens[None]
    return jnp.tril(is_same, k=-1)


def _at_keys(weights: Array, is_key: Array) -> Array:
    """The mean weight of each query's keys, over queries that have one."""
    has_key = jnp.any(is_key, axis=-1)
    total = jnp.sum(jnp.where(is_key, weights, 0), axis=(-2, -1))
    return total / jnp.maximum(jnp.sum(has_key), 1)
