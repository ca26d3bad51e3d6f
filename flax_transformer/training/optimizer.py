"""Learning-rate schedules and the optimizer, made of Optax parts."""

import dataclasses
from typing import Literal, get_args

import jax.numpy as jnp
import optax

from flax_transformer.errors import UserError, check_number, check_positive, unknown

Schedule = Literal["paper", "inverse_sqrt", "cosine", "constant"]


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Adam and its learning rate over time; the defaults are the paper's."""

    schedule: Schedule = "paper"
    """Course of the learning rate after the linear warm-up: paper (equation 3, which also fixes
    the peak), inverse_sqrt, cosine (to zero at the last step) or constant."""
    learning_rate: float | None = None
    """Peak learning rate; the paper's schedule computes its own from d_model and warm-up."""
    warmup_steps: int = 4000
    """Updates over which the learning rate rises from zero to its peak."""
    b1: float = 0.9
    """Adam's decay of the mean gradient."""
    b2: float = 0.98
    """Adam's decay of the mean squared gradient."""
    eps: float = 1e-9
    """Adam's term against division by zero."""
    clip_norm: float | None = None
    """Largest norm of the whole gradient; larger ones are scaled down to it."""

    def __post_init__(self) -> None:
        """Refuses impossible values."""
        known = get_args(Schedule)
        if self.schedule not in known:
            raise unknown("optimizer.schedule", self.schedule, known)
        if self.schedule == "paper" and self.learning_rate is not None:
            raise UserError(
                f"optimizer.learning_rate {self.learning_rate} has no effect on the paper's "
                "schedule: choose --optimizer.schedule inverse-sqrt to set the peak"
            )
        if self.schedule != "paper" and self.learning_rate is None:
            raise UserError(f"optimizer.schedule {self.schedule} needs optimizer.learning_rate")
        check_number("optimizer.warmup_steps", self.warmup_steps)
        for name in ("learning_rate", "clip_norm", "eps"):
            value = getattr(self, name)
            if value is not None:
                check_positive(f"optimizer.{name}", value)
        for name in ("b1", "b2"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"optimizer.{name} must be in [0, 1), not {getattr(self, name)}")


def paper_schedule(d_model: int, warmup_steps: int) -> optax.Schedule:
    """Makes the paper's schedule: a linear rise, then a fall with the root of the step.

    learning_rate(step) = d_model^-0.5 min(step^-0.5, step warmup_steps^-1.5)

    Args:
        d_model: width of the model.
        warmup_steps: updates of the rise.

    Returns:
        A function from the number of updates made, 0 before the first, to the learning rate of
        the next. Updates are counted from 1 in the formula.

    Example:
        >>> round(float(paper_schedule(512, 4000)(3999)), 6)
        0.000699

    Reference:
        Vaswani et al. 2017, section 5.3, equation 3.
    """
    return inverse_sqrt_schedule((d_model * warmup_steps) ** -0.5, warmup_steps)


def inverse_sqrt_schedule(peak: float, warmup_steps: int) -> optax.Schedule:
    """Makes a schedule that rises linearly to a peak and falls with the root of the step.

    learning_rate(step) = peak min(step / warmup_steps, (warmup_steps / step)^0.5)

    Args:
        peak: largest learning rate, reached at step warmup_steps.
        warmup_steps: updates of the rise.

    Returns:
        A function from the number of updates made to the learning rate of the next.

    Example:
        >>> schedule = inverse_sqrt_schedule(0.1, 4)
        >>> [round(float(schedule(count)), 3) for count in (0, 3, 15)]
        [0.025, 0.1, 0.05]
    """

    def learning_rate(count):
        step = count + 1
        return peak * jnp.minimum(step / warmup_steps, (warmup_steps / step) ** 0.5)

    return learning_rate


def make_schedule(config: OptimizerConfig, d_model: int, num_steps: int) -> optax.Schedule:
    """Makes the configured schedule.

    Args:
        config: which schedule, its peak and warm-up.
        d_model: width of the model, which the paper's schedule depends on.
        num_steps: updates of the whole training, at whose end a cosine reaches zero.

    Returns:
        A function from the number of updates made to the learning rate of the next.
    """
    if config.schedule == "paper":
        return paper_schedule(d_model, config.warmup_steps)
    peak, warmup_steps = config.learning_rate, config.warmup_steps
    assert peak is not None, "OptimizerConfig asks for it"
    if config.schedule == "inverse_sqrt":
        return inverse_sqrt_schedule(peak, warmup_steps)
    first = peak / warmup_steps
    if config.schedule == "cosine":
        return optax.warmup_cosine_decay_schedule(
            first, peak, warmup_steps, max(num_steps, warmup_steps + 1)
        )
    return optax.warmup_constant_schedule(first, peak, warmup_steps)


def make_optimizer(
    config: OptimizerConfig, schedule: optax.Schedule
) -> optax.GradientTransformation:
    """Makes Adam with the schedule, behind gradient clipping if configured."""
    adam = optax.adam(schedule, config.b1, config.b2, config.eps)
    if config.clip_norm is None:
        return adam
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), adam)
