"""How a tagger is trained."""

import dataclasses

from flax_transformer.tasks.task_config import TaskConfig, check_label_smoothing


@dataclasses.dataclass(frozen=True)
class TaggingConfig(TaskConfig):
    """How a model is trained to tag words."""

    label_smoothing: float = 0.0
    """Probability mass of the right tag spread evenly over all tags."""

    def __post_init__(self) -> None:
        """Refuses a smoothing that is not a share."""
        check_label_smoothing(self.label_smoothing)
