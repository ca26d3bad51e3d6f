"""A training in one compiled loop: for small models and experiments in a few lines."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from flax_transformer.functional.losses import label_smoothed_cross_entropy
from flax_transformer.tasks.task import Loss, Variables, apply_in_training, loss_of
from flax_transformer.training.step import init_state, make_train_step


class TokenTraining(NamedTuple):
    """What a training leaves.

    Attributes:
        variables: of the model after keep_every, 2 keep_every, ... steps, stacked.
        losses: mean training loss of a token in each step, in nats.
    """

    variables: Variables
    losses: Float[Array, " steps"]


def train_on_tokens(
    model: Any,
    optimizer: optax.GradientTransformation,
    tokens: Int[Array, "steps rows length"],
    rng: PRNGKeyArray,
    *,
    keep_every: int,
) -> TokenTraining:
    """Trains a decoder-only model from random parameters, in one compiled loop.

    All batches and all kept variables are in memory. Nothing is written, so an interrupted training
    cannot be resumed; `flax_transformer.train` can. After an update that is not finite, the
    variables do not change.

    Args:
        model: predicts the next token at each position.
        optimizer: turns gradients into updates.
        tokens: the batch of each step, without padding.
        rng: random key of the parameters and of dropout.
        keep_every: steps between two kept variables; it divides the number of steps.

    Raises:
        ValueError: if keep_every does not divide the number of steps.

    Example:
        >>> from flax_transformer.models import DecoderOnlyConfig
        >>> config = DecoderOnlyConfig(d_model=6, d_ff=5, num_heads=3, num_layers=1)
        >>> tokens = jnp.ones((10, 2, 7), int)
        >>> model, rng = config.build(vocab_size=5), jax.random.key(0)
        >>> trained = train_on_tokens(model, optax.adam(0.1), tokens, rng, keep_every=5)
        >>> trained.variables["params"]["embedding"]["table"].shape, trained.losses.shape
        ((2, 5, 6), (10,))
    """
    if len(tokens) % keep_every:
        raise ValueError(f"keep_every {keep_every} must divide the {len(tokens)} steps")
    of_parameters, of_dropout = jax.random.split(rng)

    def loss(variables: Variables, rows: Array, rng: PRNGKeyArray) -> Loss:
        logits, collections = apply_in_training(
            model, variables, rng, rows[:, :-1], deterministic=False
        )
        weights = jnp.ones(rows[:, 1:].shape)
        total, weight = label_smoothed_cross_entropy(logits, rows[:, 1:], weights)
        return loss_of(total, weight, collections)

    step = make_train_step(loss, optimizer, max_skipped=1)

    def some_steps(state: Any, batches: Array) -> Any:
        state, metrics = jax.lax.scan(lambda s, rows: step(s, rows, of_dropout), state, batches)
        return state, (state.variables, metrics.loss)

    @jax.jit
    def train(tokens: Array) -> tuple[Variables, Array]:
        state = init_state(model.init(of_parameters, tokens[0, :, :-1]), optimizer)
        parts = tokens.reshape(-1, keep_every, *tokens.shape[1:])
        return jax.lax.scan(some_steps, state, parts)[1]

    variables, losses = train(tokens)
    return TokenTraining(variables, losses.ravel())
