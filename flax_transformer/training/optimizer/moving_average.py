"""A moving average of the parameters, kept in the optimizer's state."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int


class MovingAverageState(NamedTuple):
    """What `keep_moving_average` keeps.

    Attributes:
        count: updates made.
        params: the average.
    """

    count: Int[Array, ""]
    params: Any


def keep_moving_average(decay: float) -> optax.GradientTransformation:
    """Makes the last part of an optimizer, which changes no update, but averages what comes of it.

    average_0 = params_0
    average_t = d average_(t-1) + (1 - d) params_t,  d = min(decay, (1 + t) / (10 + t))

    So at first it follows the parameters closely, instead of holding on to their first values.

    Args:
        decay: what is kept of the average at an update, such as 0.999.

    Returns:
        A transformation whose updates must be those that are added to the parameters.

    Example:
        >>> optimizer = optax.chain(optax.sgd(0.1), keep_moving_average(0.5))
        >>> state = optimizer.init(jnp.array([3.0]))
        >>> _, state = optimizer.update(jnp.array([10.0]), state, jnp.array([3.0]))
        >>> round(moving_average(state).item(), 3)  # of 3, and of 2 with weight 9/11
        2.182

    Reference:
        Polyak and Juditsky 1992; the decay of the first updates is that of TensorFlow's
        `tf.train.ExponentialMovingAverage` with num_updates.
    """

    def init(params: Any) -> MovingAverageState:
        # Copies, because a training step is given the memory of both.
        return MovingAverageState(jnp.int32(0), jax.tree.map(jnp.copy, params))

    def update(updates: Any, state: MovingAverageState, params: Any) -> Any:
        count = state.count + 1
        # 1 - d, which float32 would round if d were computed first.
        share = jnp.maximum(1 - decay, 9 / (10 + count))
        average = jax.tree.map(
            lambda mean, new: mean + share.astype(mean.dtype) * (new - mean),
            state.params,
            optax.apply_updates(params, updates),
        )
        return updates, MovingAverageState(count, average)

    return optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]


def moving_average(optimizer_state: Any) -> Any | None:
    """Gets the averaged parameters out of an optimizer's state, None if it keeps no average."""
    leaves = jax.tree.leaves(optimizer_state, is_leaf=_is_average)
    return next((leaf.params for leaf in leaves if _is_average(leaf)), None)


def exchange_average(params: Any, optimizer_state: Any) -> tuple[Any, Any]:
    """Puts the averaged parameters in the place of the parameters, and these in their place.

    Done twice, it changes nothing; nor where no average is kept.

    Args:
        params: of the model.
        optimizer_state: with the average or without.
    """
    average = moving_average(optimizer_state)
    if average is None:
        return params, optimizer_state
    exchanged = jax.tree.map(
        lambda leaf: leaf._replace(params=params) if _is_average(leaf) else leaf,
        optimizer_state,
        is_leaf=_is_average,
    )
    return average, exchanged


def _is_average(node: Any) -> bool:
    return isinstance(node, MovingAverageState)
