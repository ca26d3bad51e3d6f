"""One training step: (state, batch) -> (state, metrics), pure and written once."""

from collections.abc import Callable, Mapping
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
        statistics: the model's other collections, such as batch normalisation's running
            statistics; {} if it has none.
        optimizer_state: Optax's state.
    """

    step: Int[Array, ""]
    params: Any
    statistics: Any
    optimizer_state: Any

    @property
    def variables(self) -> dict[str, Any]:
        """All collections of the model, as its `apply` takes them."""
        return {"params": self.params, **self.statistics}


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


# (params, statistics, batch, dropout_rng) -> (sum, weight, new statistics): the loss summed over
# the batch, and the statistics with the batch taken in.
Loss = Callable[[Any, Any, Any, PRNGKeyArray], tuple[Array, Array, Any]]


def init_state(variables: Mapping[str, Any], optimizer: optax.GradientTransformation) -> TrainState:
    """Makes the state before the first update from all collections of a model."""
    params, statistics = split_variables(variables)
    return TrainState(jnp.int32(0), params, statistics, optimizer.init(params))


def split_variables(variables: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Parts the parameters, which have gradients, from a model's other collections."""
    statistics = {name: values for name, values in variables.items() if name != "params"}
    return variables["params"], statistics


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

    Statistics take in one micro-batch after the other; over devices they are averaged, so that
    all hold the same.

    Args:
        loss: sums the loss of a batch, and updates the statistics.
        optimizer: turns gradients into updates.
        accumulate_steps: number of equal micro-batches a batch is cut into, which must divide its
            rows; each needs only its share of the memory.
        axis_name: the mapped axis over devices to sum over, if there is one.

    Returns:
        A pure function (state, batch, rng) -> (state, metrics). The rng is the same for every
        step; step, device and micro-batch are folded into it.
    """

    def train_step(state, batch, rng):
        rng = jax.random.fold_in(rng, state.step)
        if axis_name is not None:
            rng = jax.random.fold_in(rng, jax.lax.axis_index(axis_name))
        totals, statistics = _sums_of_parts(loss, accumulate_steps, state, batch, rng)
        if axis_name is not None:
            totals = jax.lax.psum(totals, axis_name)
            statistics = jax.lax.pmean(statistics, axis_name)
        loss_sum, weight, gradient_sum = totals
        # A batch of nothing but padding has weight 0 and gradient 0, and must not give NaN.
        scale = 1 / jnp.maximum(weight, 1)
        gradient = jax.tree.map(lambda g: g * scale, gradient_sum)
        updates, optimizer_state = optimizer.update(gradient, state.optimizer_state, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics = StepMetrics(loss_sum * scale, weight, optax.tree.norm(gradient))
        return TrainState(state.step + 1, params, statistics, optimizer_state), metrics

    return train_step


def _sums(loss, params, statistics, batch, rng):
    """((loss, weight, gradient), new statistics) of a batch."""

    def total(params):
        loss_sum, weight, new_statistics = loss(params, statistics, batch, rng)
        return loss_sum, (weight, new_statistics)

    (loss_sum, (weight, statistics)), gradient = jax.value_and_grad(total, has_aux=True)(params)
    return (loss_sum, weight, gradient), statistics


def _sums_of_parts(loss, num_parts, state, batch, rng):
    """The same of a batch in equal micro-batches, one after the other."""
    params, statistics = state.params, state.statistics
    if num_parts == 1:
        return _sums(loss, params, statistics, batch, rng)

    def add(carry, numbered):
        (totals, statistics), (index, micro) = carry, numbered
        part, statistics = _sums(loss, params, statistics, micro, jax.random.fold_in(rng, index))
        return (jax.tree.map(jnp.add, totals, part), statistics), None

    cut = jax.tree.map(lambda x: x.reshape(num_parts, -1, *x.shape[1:]), batch)
    zero = (jnp.zeros(()), jnp.zeros(()), jax.tree.map(jnp.zeros_like, params))
    return jax.lax.scan(add, (zero, statistics), (jnp.arange(num_parts), cut))[0]
