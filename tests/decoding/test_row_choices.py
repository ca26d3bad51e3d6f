import jax
import jax.numpy as jnp
import numpy as np
from brute_force import limits_of
from history_model import random_model

from flax_transformer.decoding import greedy_search, sample
from flax_transformer.decoding.row_choices import RowChoices, choose_by_row
from flax_transformer.decoding.sampling import sample_keys

# (temperature, top_p) of each row.
SETTINGS = [(0.0, 1.0), (1.0, 1.0), (1.3, 0.8), (1.0, 0.5), (1e-30, 1.0), (2.0, 1e-9)]


NUMBER = 20


def test_each_row_gets_the_token_of_its_own_search():
    """The first tokens of searches over a model whose logits are given."""
    rng, model = jax.random.key(3), random_model(5, batch=2, vocab=7)

    @jax.jit
    def expected(model, rng):
        given = (model.step(), model.cache(), model.prompt(), limits_of(1))
        greedy = jnp.repeat(greedy_search(*given).tokens[0, :, 0], NUMBER)
        sampled = [
            sample(*given, rng, num_samples=NUMBER, temperature=temperature, top_p=p)
            for temperature, p in SETTINGS[1:]
        ]
        return jnp.concatenate([greedy, *(found.tokens[0, :, 0] for found in sampled)])

    logits, _ = model.step()(model.prompt(), model.cache())
    rows = len(SETTINGS) * NUMBER
    temperatures, top_p = jnp.repeat(jnp.array(SETTINGS), NUMBER, axis=0).T
    keys = jnp.tile(sample_keys(rng, 2, NUMBER)[0], len(SETTINGS))
    choices = RowChoices(keys, jnp.zeros(rows, jnp.int32), temperatures, top_p)
    chosen = jax.jit(choose_by_row)(jnp.repeat(logits[:1, -1], rows, axis=0), choices)
    np.testing.assert_array_equal(chosen, expected(model, rng))


def test_no_row_that_samples_costs_no_draw():
    """Greedy rows need no random numbers: their keys do not matter, and NaN is not made."""
    logits = jnp.array([[1.0, 3.0, -jnp.inf], [5.0, 3.0, 5.0]])
    choices = RowChoices(
        jax.random.split(jax.random.key(0), 2), jnp.zeros(2, jnp.int32), jnp.zeros(2), jnp.ones(2)
    )
    assert choose_by_row(logits, choices).tolist() == [1, 0]
