"""A training in one compiled loop, compared with a loop over steps."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import assert_close

from flax_transformer.models import DecoderOnlyConfig
from flax_transformer.training import train_on_tokens

pytestmark = pytest.mark.usefixtures("quickly_compiled")
VOCAB, RNG = 11, jax.random.key(3)
SGD = optax.sgd(0.1, momentum=0.9)
TOKENS = jax.random.randint(jax.random.key(0), (6, 5, 7), 0, VOCAB)


def make_model(dropout_rate: float = 0.0):
    config = DecoderOnlyConfig(
        d_model=6,
        d_ff=13,
        num_heads=2,
        num_layers=1,
        max_positions=7,
        attention_bias=False,  # that of keys has no gradient but rounding
        residual_dropout_rate=dropout_rate,
        attention_dropout_rate=0.0,
    )
    return config.build(vocab_size=VOCAB)


def test_kept_variables_and_losses_are_those_of_a_loop_over_steps():
    model = make_model()
    found = train_on_tokens(model, SGD, TOKENS, RNG, keep_every=3)

    @jax.jit
    def step(variables, state, rows):
        def loss(variables):
            logits: Any = model.apply(variables, rows[:, :-1])
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, rows[:, 1:])
            return losses.mean()

        value, gradient = jax.value_and_grad(loss)(variables)
        updates, state = SGD.update(gradient, state, variables)
        return optax.apply_updates(variables, updates), state, value

    variables = model.init(jax.random.split(RNG)[0], TOKENS[0, :, :-1])
    state, kept, losses = SGD.init(variables), [], []
    for rows in TOKENS:
        variables, state, value = step(variables, state, rows)
        kept.append(variables)
        losses.append(float(value))
    assert_close(found.losses, losses, 1e-5)
    expected = jax.tree.map(lambda *steps: np.stack(steps), kept[2], kept[5])
    jax.tree.map(lambda a, b: assert_close(a, b, 1e-5), found.variables, expected)


def test_each_step_has_its_own_dropout():
    """With a learning rate of zero, only dropout changes the loss of the same batch."""
    same = jnp.broadcast_to(TOKENS[0], TOKENS.shape)
    losses = train_on_tokens(make_model(0.5), optax.sgd(0.0), same, RNG, keep_every=6).losses
    assert len(set(losses.tolist())) == len(same)


def test_an_update_that_is_not_finite_is_the_end():
    broken = TOKENS.at[2, 0, 3].set(VOCAB)  # a target out of range makes the loss NaN
    found = train_on_tokens(make_model(), SGD, broken, RNG, keep_every=1)
    table = found.variables["params"]["embedding"]["table"]
    assert (table[0] != table[1]).any()
    assert all((kept == table[1]).all() for kept in table[2:])
    assert np.isnan(found.losses[2])


def test_steps_that_keep_every_does_not_divide_are_refused():
    with pytest.raises(ValueError, match="keep_every 4 must divide the 6 steps"):
        train_on_tokens(make_model(), SGD, TOKENS, RNG, keep_every=4)
