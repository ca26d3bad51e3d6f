"""How a classifier is trained."""

import dataclasses

from flax_transformer.tasks.classification.class_weights import BALANCED, parse_class_weights
from flax_transformer.tasks.task_config import TaskConfig


@dataclasses.dataclass(frozen=True)
class ClassificationConfig(TaskConfig):
    """How a classifier is trained."""

    class_weights: tuple[str, ...] = ()
    """Weights of the classes in the training loss: balanced, so that all classes count equally, or
    NAME=WEIGHT, given once for each of some classes; the others have weight 1. Scores are not
    weighted."""

    def __post_init__(self) -> None:
        """Refuses a smoothing that is not a share, and weights that are not positive numbers."""
        super().__post_init__()
        if self.class_weights != (BALANCED,):
            parse_class_weights(self.class_weights)
