"""Update rules of the parameters: the optimizers, and the moving average."""

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
        description: one line.
        reads: fields of `OptimizerConfig` that it reads, in addition to those that all read.
        make: makes Optax's transformations from these fields, in order.
    """

    description: str
    reads: tuple[str, ...]
    make: Callable[..., Steps]


def _adam(b1: float, b2: float, eps: float, momentum_dtype: str) -> Steps:
    # In bfloat16 the mean square would grow, but not fall: with b2 = 0.999 it loses at most a
    # thousandth of itself in an update, and adjacent numbers differ by four to eight thousandths.
    return (optax.scale_by_adam(b1, b2, eps, mu_dtype=momentum_dtype),)


def _adamw(weight_decay: float, **fields: Any) -> Steps:
    return *_adam(**fields), _decay(weight_decay)


def _lamb(**fields: Any) -> Steps:
    return *_adamw(**fields), _of_each_layer(optax.scale_by_trust_ratio())


def _lion(b1: float, b2: float, weight_decay: float, momentum_dtype: str) -> Steps:
    return optax.scale_by_lion(b1, b2, momentum_dtype), _decay(weight_decay)


def _sgd(momentum: float, weight_decay: float, momentum_dtype: str) -> Steps:
    # Without momentum, no state is needed.
    trace = (optax.trace(momentum, accumulator_dtype=momentum_dtype),) if momentum else ()
    return *trace, _decay(weight_decay)


def _adafactor(weight_decay: float) -> Steps:
    return (
        optax.scale_by_factored_rms(),
        _of_each_layer(optax.clip_by_block_rms(1.0)),
        _of_each_layer(optax.scale_by_param_block_rms()),
        # Optax's own alias applies it after the learning rate, which then would not scale it.
        _decay(weight_decay),
    )


def _decay(weight_decay: float) -> optax.GradientTransformation:
    return optax.add_decayed_weights(weight_decay, decay_mask)


def _of_each_layer(stateless: optax.GradientTransformation) -> optax.GradientTransformation:
    """Applies a rule to the norm of each parameter, also if those of all layers are stacked."""

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
        ("b1", "b2", "eps", "momentum_dtype"),
        _adam,
    ),
    "adamw": UpdateRule(
        "adam with decoupled weight decay (Loshchilov and Hutter 2019)",
        ("b1", "b2", "eps", "weight_decay", "momentum_dtype"),
        _adamw,
    ),
    "lamb": UpdateRule(
        "adamw scaled to the norm of each parameter, for large batches (You et al. 2020)",
        ("b1", "b2", "eps", "weight_decay", "momentum_dtype"),
        _lamb,
    ),
    "lion": UpdateRule(
        "sign of a mean gradient, for rates a third to a tenth of adam's (Chen et al. 2023)",
        ("b1", "b2", "weight_decay", "momentum_dtype"),
        _lion,
    ),
    "sgd": UpdateRule(
        "gradient with momentum (Sutskever et al. 2013)",
        ("momentum", "weight_decay", "momentum_dtype"),
        _sgd,
    ),
    "adafactor": UpdateRule(
        "mean squares by rows and columns; steps relative to the size of each parameter, for rates "
        "of about 0.01 (Shazeer and Stern 2018)",
        ("weight_decay",),
        _adafactor,
    ),
}


class MovingAverageState(NamedTuple):
    """The state of `keep_moving_average`.

    Attributes:
        count: updates made.
        params: the average.
    """

    count: Int[Array, ""]
    params: Any


def keep_moving_average(decay: float) -> optax.GradientTransformation:
    """Makes the last part of an optimizer, which averages the parameters and changes no update.

    average_0 = params_0
    average_t = d average_(t-1) + (1 - d) params_t,  d = min(decay, (1 + t) / (10 + t))

    At first the average follows the parameters closely, instead of staying near their first values.

    Args:
        decay: decay of the average at an update, such as 0.999.

    Returns:
        A transformation; its incoming updates must be final, as they are added to the parameters.

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
        # Copies, because a training step donates the memory of both.
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
    """Returns the averaged parameters of an optimizer's state, None without an average."""
    leaves = jax.tree.leaves(optimizer_state, is_leaf=_is_average)
    return next((leaf.params for leaf in leaves if _is_average(leaf)), None)


def exchange_average(params: Any, optimizer_state: Any) -> tuple[Any, Any]:
    """Swaps the averaged parameters with the parameters.

    Applied twice, it changes nothing. Without an average, it does nothing.

    Args:
        params: parameters of the model.
        optimizer_state: state with or without the average.
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
