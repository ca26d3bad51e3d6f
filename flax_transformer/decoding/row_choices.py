"""The next token of each row of a batch whose rows have different settings."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from flax_transformer.decoding.sampling import (
    LARGEST,
    SMALLEST,
    below_largest,
    categorical,
    keep_nucleus,
)
from flax_transformer.functional.ranking import argmax


class RowChoices(NamedTuple):
    """How the next token of each row is chosen, when rows differ.

    Attributes:
        keys: random key of each row, from `sample_keys`.
        lengths: number of tokens that each row has written so far.
        temperatures: of each row; 0 takes the most probable token.
        top_p: probability of the nucleus of each row; 1 draws from all tokens.
    """

    keys: Key[Array, " rows"]
    lengths: Int[Array, " rows"]
    temperatures: Float[Array, " rows"]
    top_p: Float[Array, " rows"]


def choose_by_row(logits: Float[Array, "rows vocab"], choices: RowChoices) -> Int[Array, " rows"]:
    """Chooses the token that `sample`, or greedy search, chooses with the settings of each row.

    Args:
        logits: [rows, vocab], float32.
        choices: settings of each row; they are not checked, as they are traced.

    Returns:
        [rows], the tokens.

    Example:
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> temperatures, top_p = jnp.array([0.0, 1.0]), jnp.ones(2)
        >>> choices = RowChoices(keys, jnp.zeros(2, int), temperatures, top_p)
        >>> choose_by_row(jnp.array([[3.0, 5.0], [0.0, -jnp.inf]]), choices).tolist()
        [1, 0]
    """

    def draw(logits: Array) -> Array:
        temperature, p = choices.temperatures[:, None], choices.top_p[:, None]
        scaled = below_largest(logits) / jnp.clip(temperature, SMALLEST, LARGEST)
        logits = jnp.where(temperature == 1, logits, scaled)
        nucleus = jax.lax.cond(
            jnp.any(p < 1), lambda x: keep_nucleus(x, jnp.maximum(p, SMALLEST)), lambda x: x, logits
        )
        logits = jnp.where(p == 1, logits, nucleus)
        keys = jax.vmap(jax.random.fold_in)(choices.keys, choices.lengths)
        drawn = jax.vmap(categorical)(keys, logits)
        return jnp.where(choices.temperatures > 0, drawn, argmax(logits))

    return jax.lax.cond(jnp.any(choices.temperatures > 0), draw, argmax, logits)
