"""How parameters are updated: by each of the optimizers, and what averages them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from flax_transformer.training.optimizer.parameter_paths import decay_mask, is_stacked, names_of

Steps = tuple[optax.GradientTransformation, ...]


class UpdateRule(NamedTuple):
    """How an optimizer turns a gradient into a direction, which the learning rate then scales.

    Attributes:
        description: what it does, in a line.
        reads: the fields of `OptimizerConfig` that it reads beside those that all read.
        make: makes of them Optax's transformations, in order.
    """

    description: str
    reads: tuple[str, ...]
    make: Callable[..., Steps]


def _adam(b1: float, b2: float, eps: float) -> Steps:
    return (optax.scale_by_adam(b1, b2, eps),)


def _adamw(b1: float, b2: float, eps: float, weight_decay: float) -> Steps:
    return *_adam(b1, b2, eps), _decay(weight_decay)


def _lamb(b1: float, b2: float, eps: float, weight_decay: float) -> Steps:
    trust = _of_each_layer(optax.scale_by_trust_ratio())
    return *_adamw(b1, b2, eps, weight_decay), trust


def _lion(b1: float, b2: float, weight_decay: float) -> Steps:
    return optax.scale_by_lion(b1, b2), _decay(weight_decay)


def _sgd(momentum: float, weight_decay: float) -> Steps:
    # Without momentum there is nothing to keep.
    trace = (optax.trace(momentum),) if momentum else ()
    return *trace, _decay(weight_decay)


def _adafactor(weight_decay: float) -> Steps:
    return (
        optax.scale_by_factored_rms(),
        _of_each_layer(optax.clip_by_block_rms(1.0)),
        _of_each_layer(optax.scale_by_param_block_rms()),
        # Optax's own alias has it after the learning rate, which then would not scale it.
        _decay(weight_decay),
    )


def _decay(weight_decay: float) -> optax.GradientTransformation:
    return optax.add_decayed_weights(weight_decay, decay_mask)


def _of_each_layer(stateless: optax.GradientTransformation) -> optax.GradientTransformation:
    """What is done with the norm of each parameter, also where those of all layers are stacked."""

    def of_one(update: Any, param: Any) -> Any:
        return stateless.update(update, optax.EmptyState(), param)[0]

    def of_leaf(path: Any, update: Any, param: Any) -> Any:
        of_this = jax.vmap(of_one) if is_stacked(names_of(path)) else of_one
        return of_this(update, param)

    return optax.stateless(
        lambda updates, params: jax.tree_util.tree_map_with_path(of_leaf, updates, params)
    )


OPTIMIZERS = {
    "adam": UpdateRule(
        "mean gradient over the root of the mean square (Kingma and Ba 2015)",
        ("b1", "b2", "eps"),
        _adam,
    ),
    "adamw": UpdateRule(
        "adam with decoupled weight decay (Loshchilov and Hutter 2019)",
        ("b1", "b2", "eps", "weight_decay"),
        _adamw,
    ),
    "lamb": UpdateRule(
        "adamw scaled to the norm of each parameter, for large batches (You et al. 2020)",
        ("b1", "b2", "eps", "weight_decay"),
        _lamb,
    ),
    "lion": UpdateRule(
        "sign of a mean gradient, for rates a third to a tenth of adam's (Chen et al. 2023)",
        ("b1", "b2", "weight_decay"),
        _lion,
    ),
    "sgd": UpdateRule(
        "gradient with momentum (Sutskever et al. 2013)",
        ("momentum", "weight_decay"),
        _sgd,
    ),
    "adafactor": UpdateRule(
        "mean squares by rows and columns, steps relative to the size of each parameter, about a "
        "hundredth (Shazeer and Stern 2018)",
        ("weight_decay",),
        _adafactor,
    ),
}


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
