"""The base of the configs of all tasks."""

import dataclasses

from flax_transformer.errors import UserError


@dataclasses.dataclass(frozen=True)
class TaskConfig:
    """How a model is trained for a task; its class chooses the task."""


def check_label_smoothing(rate: float) -> None:
    """Refuses a label smoothing that is not a share."""
    if not 0 <= rate < 1:
        raise UserError(f"task.label_smoothing must be in [0, 1), not {rate}")
