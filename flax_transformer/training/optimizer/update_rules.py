"""The optimizers by name: in which direction each of them moves the parameters."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

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
