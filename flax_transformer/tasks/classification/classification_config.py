"""How a classifier is trained, and the weights of the classes in its loss."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Int

from flax_transformer.errors import UserError, unknown
from flax_transformer.tasks.task_config import TaskConfig

BALANCED = "balanced"


@dataclasses.dataclass(frozen=True)
class ClassificationConfig(TaskConfig):
    """How a classifier is trained."""

    class_weights: tuple[str, ...] = ()
    """Weights of the classes in the training loss: balanced, so that all classes count equally, or
    NAME=WEIGHT for some of the classes (the others have weight 1). Scores are not weighted."""

    def __post_init__(self) -> None:
        """Rejects a smoothing outside [0, 1) and weights that are not positive numbers."""
        super().__post_init__()
        if self.class_weights != (BALANCED,):
            parse_class_weights(self.class_weights)


def parse_class_weights(given: Sequence[str]) -> dict[str, float]:
    """Parses class weights given by class name.

    Args:
        given: NAME=WEIGHT each; a name may hold an equals sign, a weight does not.

    Raises:
        UserError: if a weight is malformed, not positive, not finite, or given twice.

    Example:
        >>> parse_class_weights(["spam=4", "a=b=0.5"])
        {'spam': 4.0, 'a=b': 0.5}
    """
    weights = {}
    for text in given:
        name, _, number = text.rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not name or not 0 < weight < math.inf:
            raise UserError(
                f"--task.class-weights must be {BALANCED}, or NAME=WEIGHT with a positive number "
                f"for each class, not '{text}'"
            )
        if name in weights:
            raise UserError(f"--task.class-weights names '{name}' twice: give one weight")
        weights[name] = weight
    return weights


def class_weights(
    given: Sequence[str], labels: Int[np.ndarray, " examples"], class_names: Sequence[str]
) -> Float32[np.ndarray, " classes"]:
    """Computes the weight of each class in the loss.

    balanced: w_c = n / (k n_c), for n examples in k classes, n_c of them in class c. The average
    weight of an example is 1. Classes without an example are not counted in k and have weight 1.

    Args:
        given: ["balanced"], or NAME=WEIGHT each; classes that are not named have weight 1.
        labels: class number of each training example; negative if it has no class.
        class_names: in the order of the class numbers.

    Raises:
        UserError: if a name is not a class name.

    Example:
        >>> weights = class_weights(["balanced"], np.array([0, 0, 0, 1]), ["ham", "spam"])
        >>> [round(weight, 3) for weight in weights.tolist()]
        [0.667, 2.0]

    Reference: King and Zeng 2001, "Logistic Regression in Rare Events Data"; scikit-learn's
        compute_class_weight.
    """
    weights = np.ones(len(class_names), np.float32)
    if list(given) == [BALANCED]:
        counts = np.bincount(labels[labels >= 0], minlength=len(class_names))
        found = np.flatnonzero(counts)
        weights[found] = counts.sum() / (len(found) * counts[found])
        return weights
    for name, weight in parse_class_weights(given).items():
        if name not in class_names:
            raise unknown("class of --task.class-weights", name, class_names)
        weights[list(class_names).index(name)] = weight
    return weights
