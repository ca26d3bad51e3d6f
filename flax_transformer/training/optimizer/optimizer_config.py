"""Learning-rate schedules and the optimizer, made of Optax parts."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from flax_transformer.errors import (
    UserError,
    check_number,
    check_positive,
    option,
    unknown,
    unknown_part,
)
from flax_transformer.modules.layer_options import ComputeType
from flax_transformer.training.optimizer.parameter_paths import layers_above
from flax_transformer.training.optimizer.update_rules import OPTIMIZERS, keep_moving_average

Schedule = Literal["paper", "inverse_sqrt", "cosine", "linear", "constant"]
# The schedules that read final_fraction, because they know the last step.
FALLING: tuple[Schedule, ...] = ("cosine", "linear")


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """The optimizer and its learning rate over time; the defaults are the paper's."""

    schedule: Schedule = "paper"
    """Schedule of the learning rate after the linear warm-up: paper (equation 3, which also fixes
    the peak), inverse_sqrt, cosine or linear (both to final_fraction at the last step), or
    constant."""
    learning_rate: float | None = None
    """Peak learning rate; the paper's schedule computes its own from d_model and warm-up."""
    warmup_steps: int = 4000
    """Updates over which the learning rate rises linearly from zero; the last of them uses the
    peak."""
    final_fraction: float = 0.0
    """cosine and linear: learning rate at the last step, as a share of the peak."""
    name: str = "adam"
    """adam, adamw, lamb, lion, sgd or adafactor; the defaults below are for adam. Fields that the
    chosen optimizer ignores must stay at their defaults."""
    b1: float = 0.9
    """adam, adamw and lamb: decay of the mean gradient; lion: its share in a step."""
    b2: float = 0.98
    """adam, adamw and lamb: decay of the mean squared gradient; lion: of the mean gradient."""
    eps: float = 1e-9
    """adam, adamw and lamb: term against division by zero."""
    momentum: float = 0.9
    """sgd: share of the last step that is added to the next."""
    momentum_dtype: ComputeType = "float32"
    """All but adafactor: type in which the mean gradient (the momentum) is kept; bfloat16 takes two
    bytes less for each parameter. The mean squared gradient stays float32."""
    weight_decay: float = 0.0
    """All but adam: weight decay. Each update subtracts the learning rate times this share of each
    matrix; biases, norms, tables of positions and class tokens do not decay."""
    layer_decay: float = 1.0
    """Factor of the learning rate from each layer to the one below it, for fine-tuning, such as
    0.75. The head has the full rate, embeddings the lowest. 1: all layers have the same rate."""
    clip_norm: float | None = None
    """Maximum norm of the whole gradient; larger gradients are scaled down to it."""
    ema_decay: float | None = None
    """Decay of an exponential moving average of the parameters, such as 0.999. If given,
    evaluations and all readers of a checkpoint use this average as the parameters."""

    def __post_init__(self) -> None:
        """Rejects impossible values, and values that would have no effect."""
        if self.schedule not in get_args(Schedule):
            raise unknown(_option("schedule"), self.schedule, get_args(Schedule))
        if self.name not in OPTIMIZERS:
            raise unknown_part(_option("name"), self.name, OPTIMIZERS)
        if self.schedule == "paper" and self.learning_rate is not None:
            raise UserError(
                f"--optimizer.learning-rate {self.learning_rate} has no effect on the paper's "
                "schedule: give --optimizer.learning-rate None, or --optimizer.schedule "
                "inverse_sqrt to set the peak"
            )
        if self.schedule != "paper" and self.learning_rate is None:
            raise UserError(
                f"--optimizer.schedule {self.schedule} needs --optimizer.learning-rate: give a peak"
            )
        if self.momentum_dtype not in get_args(ComputeType):
            raise unknown(_option("momentum_dtype"), self.momentum_dtype, get_args(ComputeType))
        if self.name == "sgd" and not self.momentum and self.momentum_dtype != "float32":
            raise UserError(
                f"--optimizer.momentum-dtype {self.momentum_dtype} has no effect on "
                f"--optimizer.momentum {self.momentum}: leave one out"
            )
        self._check_numbers()
        self._check_unread()

    def _check_numbers(self) -> None:
        check_number("--optimizer.warmup-steps", self.warmup_steps)
        for field in ("learning_rate", "clip_norm", "eps"):
            if (value := getattr(self, field)) is not None:
                check_positive(_option(field), value)
        ranges = {
            "in [0, 1)": (lambda x: 0 <= x < 1, ("b1", "b2", "momentum")),
            "in [0, 1]": (lambda x: 0 <= x <= 1, ("final_fraction",)),
            "in (0, 1]": (lambda x: 0 < x <= 1, ("layer_decay",)),
            "in (0, 1)": (lambda x: x is None or 0 < x < 1, ("ema_decay",)),
            "0 or positive": (lambda x: 0 <= x < math.inf, ("weight_decay",)),
        }
        for words, (holds, fields) in ranges.items():
            for field in fields:
                if not holds(value := getattr(self, field)):
                    raise UserError(f"{_option(field)} must be {words}, not {value}")

    def _check_unread(self) -> None:
        """Rejects a field that the chosen optimizer or schedule ignores."""
        readers = {"final_fraction": ("schedule", [*FALLING])}
        for name, rule in OPTIMIZERS.items():
            for field in rule.reads:
                readers.setdefault(field, ("name", []))[1].append(name)
        for field, (choice, names) in readers.items():
            value, default = getattr(self, field), getattr(OptimizerConfig, field)
            if value != default and getattr(self, choice) not in names:
                raise UserError(
                    f"{_option(field)} {value} is set, but {_option(choice)} "
                    f"{getattr(self, choice)} does not read it: leave it at {default}, or choose "
                    f"{' or '.join(names)}"
                )


def _option(field: str) -> str:
    return option(f"optimizer.{field}")


def make_schedule(config: OptimizerConfig, d_model: int, num_steps: int) -> optax.Schedule:
    """Makes the configured schedule: a linear rise to the peak, followed by a course.

    learning_rate(step) = peak step / warmup_steps  for step < warmup_steps, else
    learning_rate(step) = peak course(step)

    Steps are counted from 1, as in the paper: update number warmup_steps is the first with the
    peak, so course(warmup_steps) is 1. With
    done = (step - warmup_steps) / (num_steps + 1 - warmup_steps), at most 1, and f for
    final_fraction, the courses are

    paper:    (warmup_steps / step)^0.5, with the peak (d_model warmup_steps)^-0.5
    inverse_sqrt: (warmup_steps / step)^0.5
    cosine:   f + (1 - f) (1 + cos(pi done)) / 2
    linear:   f + (1 - f) (1 - done)
    constant: 1

    Args:
        config: config with the schedule, its peak and warm-up.
        d_model: width of the model, which the paper's schedule depends on.
        num_steps: updates of the whole training, after which cosine and linear schedules reach
            their last value.

    Returns:
        A function from the number of updates made, 0 before the first, to the learning rate of
        the next.

    Example:
        >>> schedule = make_schedule(OptimizerConfig(warmup_steps=4000), 512, 100_000)
        >>> round(float(schedule(3999)), 6)
        0.000699

    Reference:
        Vaswani et al. 2017, section 5.3, equation 3 (paper).
    """
    warmup_steps, last = config.warmup_steps, config.final_fraction
    # Only the paper's schedule has no configured peak.
    peak = config.learning_rate or (d_model * warmup_steps) ** -0.5

    def inverse_sqrt(step: Array) -> Array:
        return (warmup_steps / step) ** 0.5

    def left(step: Array) -> Array:
        # If the training ends within the warm-up, the course is not used.
        done = (step - warmup_steps) / max(num_steps + 1 - warmup_steps, 1)
        return 1 - jnp.clip(done, 0, 1)

    courses: dict[str, Callable[[Array], Array | float]] = {
        "paper": inverse_sqrt,
        "inverse_sqrt": inverse_sqrt,
        "cosine": lambda step: last + (1 - last) * (1 - jnp.cos(jnp.pi * left(step))) / 2,
        "linear": lambda step: last + (1 - last) * left(step),
        "constant": lambda step: 1.0,
    }
    course = courses[config.schedule]

    def learning_rate(count):
        step = (jnp.asarray(count) + 1).astype(jnp.float32)
        return peak * jnp.where(step < warmup_steps, step / warmup_steps, course(step))

    return learning_rate


def make_optimizer(
    config: OptimizerConfig, schedule: optax.Schedule
) -> optax.GradientTransformation:
    """Makes the configured optimizer with the schedule.

    p_t = p_(t-1) - schedule(t - 1) layer_decay^above (direction_t + weight_decay p_(t-1))

    Gradients are clipped before the direction is computed. `above` is `layers_above` of the
    parameter p. Only parameters of `decay_mask` decay (in lamb before the trust ratio). The last
    part of the state is a moving average of the parameters, which `moving_average` returns.

    Args:
        config: config with the optimizer and its fields.
        schedule: maps the number of updates made to the learning rate of the next.

    Example:
        >>> config = OptimizerConfig("constant", 0.5, name="sgd", weight_decay=0.1)
        >>> params = {"kernel": jnp.ones((1, 1)), "bias": jnp.ones(1)}
        >>> optimizer = make_optimizer(config, lambda count: 0.5)
        >>> gradient = jax.tree.map(jnp.ones_like, params)
        >>> updates, _ = optimizer.update(gradient, optimizer.init(params), params)
        >>> {name: round(float(update.sum()), 3) for name, update in updates.items()}
        {'bias': -0.5, 'kernel': -0.55}
    """
    rule = OPTIMIZERS[config.name]
    directions = [*rule.make(**{name: getattr(config, name) for name in rule.reads})]
    if config.layer_decay != 1:
        directions.append(_scale_layers(config.layer_decay))
    step = optax.chain(*directions, optax.scale_by_learning_rate(schedule))
    parts: list[optax.GradientTransformation] = [step]
    if config.clip_norm is not None:
        parts.insert(0, optax.clip_by_global_norm(config.clip_norm))
    if config.ema_decay is not None:
        parts.append(keep_moving_average(config.ema_decay))
    return parts[0] if len(parts) == 1 else optax.chain(*parts)


def _scale_layers(layer_decay: float) -> optax.GradientTransformation:
    """Multiplies the update of each layer by layer_decay to the power of the layers above."""

    def scale(update: jax.Array, above: int | np.ndarray) -> jax.Array:
        return update * np.asarray(layer_decay**above, update.dtype)

    def init(params: Any) -> optax.EmptyState:
        try:
            layers_above(params)
        except ValueError:
            raise UserError(
                f"--optimizer.layer-decay {layer_decay} needs trained layers, but only parameters "
                "outside of all layers are trained: leave it out"
            ) from None
        return optax.EmptyState()

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        return jax.tree.map(scale, updates, layers_above(updates)), state

    return optax.GradientTransformation(init, update)
