"""A model of random tables whose logits depend on the example and on every token read so far.

So a history row that stays with the wrong hypothesis, or a context that is repeated or reordered,
changes the result.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flax_transformer.decoding import Step
from flax_transformer.functional.cache import Cache

PAD, BOS, EOS = 0, 1, 2
NUM_STATES = 97
CAPACITY = 19
WEIGHTS = np.random.default_rng(0).integers(1, NUM_STATES, CAPACITY)


class HistoryModel(NamedTuple):
    """table: [NUM_STATES, vocab] logits; context: [batch], what tells the examples apart."""

    table: jax.Array
    context: jax.Array

    def cache(self) -> Cache:
        tokens = jnp.zeros((len(self.context), CAPACITY), jnp.int32)
        return Cache(jnp.int32(0), history={"tokens": tokens}, context=self.context)

    def prompt(self) -> jax.Array:
        return jnp.tile(jnp.array([BOS, 3], jnp.int32), (len(self.context), 1))

    def step(self) -> Step:
        return lambda tokens, cache: _step(self.table, tokens, cache)

    def log_probs(self, example: int, output: Sequence[int]) -> np.ndarray:
        """Log-probabilities [vocab] of what follows the prompt and `output`, in NumPy alone."""
        read = np.array([BOS, 3, *output])
        state = (np.asarray(self.context)[example] + read @ WEIGHTS[: len(read)]) % NUM_STATES
        logits = np.asarray(self.table)[state].astype(np.float64)
        return logits - np.log(np.exp(logits).sum())

    def score(self, example: int, output: Sequence[int]) -> float:
        """Log-probability of a whole output."""
        return sum(self.log_probs(example, output[:i])[token] for i, token in enumerate(output))


def random_model(seed: int, batch: int, vocab: int, eos_logit: float = 0.0) -> HistoryModel:
    rng = np.random.default_rng(seed)
    table = rng.normal(scale=2.0, size=(NUM_STATES, vocab))
    table[:, EOS] += eos_logit
    return HistoryModel(
        jnp.asarray(table, jnp.float32), jnp.asarray(rng.integers(0, NUM_STATES, batch), jnp.int32)
    )


def _step(table: jax.Array, tokens: jax.Array, cache: Cache) -> tuple[jax.Array, Cache]:
    read = jax.lax.dynamic_update_slice(cache.history["tokens"], tokens, (0, cache.length))
    sums = jnp.cumsum(read * WEIGHTS, axis=1)
    sums = jax.lax.dynamic_slice_in_dim(sums, cache.length, tokens.shape[1], axis=1)
    context = jnp.repeat(cache.context, len(tokens) // len(cache.context))
    logits = table[(context[:, None] + sums) % NUM_STATES]
    return logits, Cache(cache.length + tokens.shape[1], {"tokens": read}, cache.context)
