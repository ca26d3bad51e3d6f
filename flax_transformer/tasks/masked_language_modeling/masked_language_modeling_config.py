"""How a masked language model is trained."""

import dataclasses

from flax_transformer.errors import UserError
from flax_transformer.tasks.task_config import TaskConfig


@dataclasses.dataclass(frozen=True)
class MaskedLanguageModelingConfig(TaskConfig):
    """How a masked language model is trained."""

    mask_rate: float = 0.15
    """Probability of each token to be one that is to be predicted."""

    def __post_init__(self) -> None:
        """Refuses a rate that is not a share, or that leaves nothing to predict."""
        if not 0 < self.mask_rate < 1:
            raise UserError(f"task.mask_rate must be above 0 and below 1, not {self.mask_rate}")
