"""How a language model is trained."""

import dataclasses

from flax_transformer.tasks.task_config import TaskConfig, check_label_smoothing


@dataclasses.dataclass(frozen=True)
class LanguageModelingConfig(TaskConfig):
    """How a language model is trained."""

    label_smoothing: float = 0.0
    """Probability mass of the next token spread evenly over the vocabulary."""

    def __post_init__(self) -> None:
        """Refuses a smoothing that is not a share."""
        check_label_smoothing(self.label_smoothing)
