"""One training step: (state, batch) -> (state, metrics), pure and written once."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from flax_transformer.functional.row_keys import of_rows
from flax_transformer.tasks.task import Loss, Variables
from flax_transformer.training.lora import Base, merged
from flax_transformer.training.optimizer.update_rules import moving_average


class TrainState(NamedTuple):
    """The state of a training: everything that a step changes.

    Attributes:
        step: number of steps taken, including skipped ones.
        params: the model's parameters; with a base, only those that are trained.
        statistics: the model's other collections, such as batch normalization's running statistics;
            {} if it has none.
        optimizer_state: Optax's state.
        skipped: consecutive updates, up to now, that were skipped because loss or gradient was not
            finite; so `step - skipped` steps led to these parameters.
        base: the parameters that no step changes, if adapters are trained; see `training.lora`.
    """

    step: Int[Array, ""]
    params: Any
    statistics: Any
    optimizer_state: Any
    # A NumPy number, because a JAX array would start the devices when this file is imported.
    skipped: Int[Array, ""] | np.int32 = np.int32(0)
    base: Base | None = None

    @property
    def variables(self) -> dict[str, Any]:
        """All collections for use, with the averaged parameters, if they exist; see `merged`."""
        average = moving_average(self.optimizer_state)
        return {"params": self.params if average is None else average, **self.statistics}


class StepMetrics(NamedTuple):
    """The metrics of a step.

    Attributes:
        loss: mean training loss of a unit of the task, in nats.
        weight: units of the batch over all devices, without padding.
        gradient_norm: norm of the mean gradient before clipping.
        skipped: consecutive skipped updates, including this one; 0 if this update was made.
        extra: means of the model's further losses, by name.
    """

    loss: Float[Array, ""]
    weight: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    skipped: Int[Array, ""]
    extra: dict[str, Float[Array, ""]]


class Gradient(NamedTuple):
    """The gradient of a batch, over all its micro-batches and devices.

    Attributes:
        loss: mean training loss of a unit of the task, in nats.
        weight: units of the batch, without padding.
        mean: the gradient of the mean loss, including further losses, for each parameter.
        norm: norm of all its entries together.
        statistics: the model's other collections, updated by this batch.
        extra: means of the model's further losses, by name.
    """

    loss: Float[Array, ""]
    weight: Float[Array, ""]
    mean: Any
    norm: Float[Array, ""]
    statistics: Any
    extra: dict[str, Float[Array, ""]]

    @property
    def is_finite(self) -> Bool[Array, ""]:
        """Whether the losses and the gradient are finite; the same on all devices."""
        total = sum(self.extra.values(), self.loss)
        return jnp.isfinite(total) & jnp.isfinite(self.norm)


LossFunction = Callable[[Variables, Any, PRNGKeyArray], Loss]
"""(variables, batch, rng) -> sums over the batch; see `Task.loss`."""


def init_state(
    variables: Mapping[str, Any],
    optimizer: optax.GradientTransformation,
    base: Base | None = None,
    rng: PRNGKeyArray | None = None,
) -> TrainState:
    """Makes the state before the first update.

    Args:
        variables: all collections of a model.
        optimizer: turns gradients into updates.
        base: the parameters to be kept, if adapters are trained.
        rng: key of the adapters.
    """
    params, statistics = split_variables(variables)
    if base is not None:
        assert rng is not None
        params = base.divide(params, rng)
    state = TrainState(jnp.int32(0), params, statistics, optimizer.init(params))
    return state._replace(base=base)


def split_variables(variables: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Splits a model's collections into the parameters, which have gradients, and the others."""
    statistics = {name: values for name, values in variables.items() if name != "params"}
    return variables["params"], statistics


def make_gradient(
    loss: LossFunction, *, accumulate_steps: int = 1, axis_name: str | None = None
) -> Callable[[TrainState, Any, PRNGKeyArray], Gradient]:
    """Makes the function that computes the gradient of a batch, without side effects.

    gradient = (sum of the loss gradients) / (sum of the weights), both over micro-batches and
    devices, so the result does not depend on how padding is distributed over them.

    Statistics are updated by one micro-batch after the other, and averaged over devices, so that
    all devices have the same.

    Args:
        loss: sums the loss of a batch, and updates the statistics.
        accumulate_steps: number n of equal micro-batches into which a batch is split; it must
            divide the rows. Micro-batch i has the rows i, i + n, i + 2 n, ..., so that a device
            has rows of each. A micro-batch needs only its share of the memory.
        axis_name: the mapped axis over devices to sum over, if any.

    Returns:
        A pure function (state, batch, rng) -> gradient. The rng is the same for every step, which
        is folded into it. Dropout does not depend on micro-batches and devices; see `of_rows`.
    """

    def gradient(state, batch, rng):
        rng = jax.random.fold_in(rng, state.step)
        num_rows = len(jax.tree.leaves(batch)[0])
        first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * num_rows

        def rng_of(part):
            return of_rows(rng, first + part, accumulate_steps, num_rows // accumulate_steps)

        of_trained = _loss_of_trained(loss, state.base)
        totals, statistics = _sums_of_parts(of_trained, accumulate_steps, state, batch, rng_of)
        if axis_name is not None:
            totals = jax.lax.psum(totals, axis_name)
            statistics = jax.lax.pmean(statistics, axis_name)
        loss_sum, weight, extra, gradient_sum = totals
        # A batch of padding only has weight 0 and gradient 0, and must not produce NaN.
        scale = 1 / jnp.where(weight > 0, weight, 1)
        mean = jax.tree.map(lambda g: g * scale.astype(g.dtype), gradient_sum)
        extra = jax.tree.map(lambda total: total * scale, extra)
        norm = optax.tree.norm(mean)
        return Gradient(loss_sum * scale, weight, mean, norm, statistics, extra)

    return gradient


def make_train_step(
    loss: LossFunction,
    optimizer: optax.GradientTransformation,
    *,
    max_skipped: int,
    accumulate_steps: int = 1,
    axis_name: str | None = None,
) -> Callable[[TrainState, Any, PRNGKeyArray], tuple[TrainState, StepMetrics]]:
    """Makes the function that updates a model by one batch.

    An update is skipped if the loss or the norm of the gradient is not finite: only `step` and
    `skipped` change, and the learning rate does not advance. After max_skipped consecutive skips,
    all later updates are skipped too, so that the state at the failure can be inspected.

    Args:
        loss: sums the loss of a batch, and updates the statistics.
        optimizer: turns gradients into updates.
        max_skipped: maximum number of consecutive skipped updates, at least 1; after it, no update
            is made.
        accumulate_steps: see `make_gradient`, which also describes the sum over parts of a batch.
        axis_name: the mapped axis over devices to sum over, if any.

    Returns:
        A pure function (state, batch, rng) -> (state, metrics); for the rng see `make_gradient`.

    Raises:
        ValueError: if max_skipped is less than 1, because no update would ever be made.
    """
    if max_skipped < 1:
        raise ValueError(f"max_skipped must be at least 1, not {max_skipped}")
    gradient_of = make_gradient(loss, accumulate_steps=accumulate_steps, axis_name=axis_name)

    def train_step(state, batch, rng):
        gradient = gradient_of(state, batch, rng)
        is_made = gradient.is_finite & (state.skipped < max_skipped)

        def update(params, statistics, optimizer_state):
            updates, optimizer_state = optimizer.update(gradient.mean, optimizer_state, params)
            return optax.apply_updates(params, updates), gradient.statistics, optimizer_state

        # Not a `where` over both: the new parameters need the new moments. If these were written
        # conditionally, XLA would first copy the old ones.
        before = state.params, state.statistics, state.optimizer_state
        params, statistics, optimizer_state = jax.lax.cond(
            is_made, update, lambda *kept: kept, *before
        )
        skipped = jnp.where(is_made, 0, state.skipped + 1)
        metrics = StepMetrics(
            gradient.loss, gradient.weight, gradient.norm, skipped, gradient.extra
        )
        after = TrainState(state.step + 1, params, statistics, optimizer_state, skipped, state.base)
        return after, metrics

    return train_step


def _loss_of_trained(loss, base):
    """The loss as a function of the trained parameters."""
    if base is None:
        return loss
    return lambda variables, batch, rng: loss(merged(variables, base), batch, rng)


def _sums(loss, params, statistics, batch, rng):
    """((sum, weight, further losses, gradient), new statistics) of a batch."""

    def total(params):
        found = loss({"params": params, **statistics}, batch, rng)
        return sum(found.extra.values(), found.sum), found

    (_, found), gradient = jax.value_and_grad(total, has_aux=True)(params)
    return (found.sum, found.weight, found.extra, gradient), found.statistics


def _sums_of_parts(loss, num_parts, state, batch, rng_of):
    """The same for a batch in equal micro-batches, one after the other."""
    params, statistics = state.params, state.statistics
    if num_parts == 1:
        return _sums(loss, params, statistics, batch, rng_of(0))

    def add(carry, numbered):
        (totals, statistics), (index, micro) = carry, numbered
        part, statistics = _sums(loss, params, statistics, micro, rng_of(index))
        return (jax.tree.map(jnp.add, totals, part), statistics), None

    cut = jax.tree.map(lambda x: x.reshape(-1, num_parts, *x.shape[1:]).swapaxes(0, 1), batch)
    variables = {"params": params, **statistics}
    shapes = jax.eval_shape(
        lambda cut: loss(variables, jax.tree.map(lambda x: x[0], cut), rng_of(0)), cut
    )
    nothing = jnp.zeros((), jnp.float32)
    extra = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes.extra)
    zero = (nothing, nothing, extra, jax.tree.map(jnp.zeros_like, params))
    return jax.lax.scan(add, (zero, statistics), (jnp.arange(num_parts), cut))[0]
