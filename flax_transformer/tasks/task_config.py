"""The base of the configs of all tasks."""

import dataclasses

from flax_transformer.errors import UserError


@dataclasses.dataclass(frozen=True)
class TaskConfig:
    """How a model is trained for a task; the class of the config chooses the task."""

    label_smoothing: float = 0.0
    """Share of the right answer's probability that is spread evenly over all answers."""

    def __post_init__(self) -> None:
        """Rejects a smoothing outside [0, 1)."""
        if not 0 <= self.label_smoothing < 1:
            raise UserError(f"--task.label-smoothing must be in [0, 1), not {self.label_smoothing}")
