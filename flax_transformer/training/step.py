"""One training step: (state, batch) -> (state, metrics), pure and written once."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray


class TrainState(NamedTuple):
    """All that a training step changes.

    Attributes:
        step: number of updates made.
        params: the model's parameters.
        optimizer_state: Optax's state.
    """

    step: Int[Array, ""]
    params: Any
    optimizer_state: Any


class StepMetrics(NamedTuple):
    """What a step tells about itself.

    Attributes:
        loss: mean training loss a target token, in nats.
        tokens: target tokens of the batch over all devices, padding not counted.
        gradient_norm: norm of the mean gradient before clipping.
    """

    loss: Float[Array, ""]
    tokens: Float[Array, ""]
    gradient_norm: Float[Array, ""]


# (params, batch, dropout_rng) -> (sum, weight) of the loss over the batch.
Loss = Callable[[Any, Any, PRNGKeyArray], tuple[Array, Array]]


def init_state(params: Any, optimizer: optax.GradientTransformation) -> TrainState:
    """Makes the state before the first update."""
    return TrainState(jnp.int32(0), params, optimizer.init(params))


def make_train_step(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    *,
    accumulate_steps: int = 1,
    axis_name: str | None = None,
) -> Callable[[TrainState, Any, PRNGKeyArray], tuple[TrainState, StepMetrics]]:
    """Makes the function that updates a model by one batch.

    gradient = (sum of the loss gradients) / (sum of the weights), both over micro-batches and
    devices, so that neither changes the result however unevenly padding falls on them.

    Args:
        loss: sums the loss of a batch.
        optimizer: turns gradients into updates.
        accumulate_steps: number of equal micro-batches a batch is cut into, which must divide its
            rows; each needs only its share of the memory.
        axis_name: the mapped axis over devices to sum over, if there is one.

    Returns:
        A pure function (state, batch, rng) -> (state, metrics). The rng is the same for every
        step; step, device and micro-batch are folded into it.
    """

    def sums(params, batch, rng):
        """Sums of loss, weight and gradients over the micro-batches of this device."""
        value_and_grad = jax.value_and_grad(loss, has_aux=True)
        if accumulate_steps == 1:
            return value_and_grad(params, batch, rng)

        def add(total, numbered):
            index, micro = numbered
            part = value_and_grad(params, micro, jax.random.fold_in(rng, index))
            return jax.tree.map(jnp.add, total, part), None

        cut = jax.tree.map(
            lambda x: x.reshape(accumulate_steps, x.shape[0] // accumulate_steps, *x.shape[1:]),
            batch,
        )
        zero = ((jnp.zeros(()), jnp.zeros(())), jax.tree.map(jnp.zeros_like, params))
        return jax.lax.scan(add, zero, (jnp.arange(accumulate_steps), cut))[0]

    def train_step(state, batch, rng):
        rng = jax.random.fold_in(rng, state.step)
        if axis_name is not None:
            rng = jax.random.fold_in(rng, jax.lax.axis_index(axis_name))
        totals = sums(state.params, batch, rng)
        if axis_name is not None:
            totals = jax.lax.psum(totals, axis_name)
        (loss_sum, weight), gradient_sum = totals
        # A batch of nothing but padding has weight 0 and gradient 0, and must not give NaN.
        scale = 1 / jnp.maximum(weight, 1)
        gradient = jax.tree.map(lambda g: g * scale, gradient_sum)
        updates, optimizer_state = optimizer.update(gradient, state.optimizer_state, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics = StepMetrics(loss_sum * scale, weight, optax.tree.norm(gradient))
        return TrainState(state.step + 1, params, optimizer_state), metrics

    return train_step
