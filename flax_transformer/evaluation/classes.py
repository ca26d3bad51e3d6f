"""Scores of a classifier, from the probabilities that it gives."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from flax_transformer.evaluation.scores import Score, mean_loss

TOP = 5


def class_scores(
    probabilities: Float[np.ndarray, "examples classes"],
    nll: Float[np.ndarray, " examples"],
    labels: Int[np.ndarray, " examples"],
) -> dict[str, Score]:
    """Every score of a classifier by its name.

    Args:
        probabilities: of the classes.
        nll: negative log-likelihood of the right classes in nats.
        labels: numbers of the right classes.

    Returns:
        "accuracy" (the most probable class is right) and "top5_accuracy" (the right one is among
        the five most probable; 100 where there are no more) in percent, and "loss" in nats.

    Raises:
        ValueError: if there is no example.

    Example:
        >>> probabilities, labels = np.array([[0.25, 0.75], [0.5, 0.5]]), np.array([1, 1])
        >>> scores = class_scores(probabilities, np.array([0.3, 0.7]), labels)
        >>> [(name, score.value) for name, score in scores.items()]
        [('accuracy', 50.0), ('top5_accuracy', 100.0), ('loss', 0.5)]
    """
    if not len(labels):
        raise ValueError("no examples to score")
    order = np.argsort(-probabilities, axis=1, kind="stable")
    hits = order[:, :TOP] == labels[:, None]
    scores = (
        Score("accuracy", 100 * float(hits[:, 0].mean())),
        Score("top5_accuracy", 100 * float(hits.any(axis=1).mean())),
        mean_loss(float(nll.sum(dtype=np.float64)), len(labels)),
    )
    return {score.name: score for score in scores}


def confusions(
    probabilities: Float[np.ndarray, "examples classes"],
    labels: Int[np.ndarray, " examples"],
    class_names: Sequence[str],
) -> dict[str, Any]:
    """Counts which class was taken for which, as plain data.

    Args:
        probabilities: of the classes.
        labels: numbers of the right classes.
        class_names: in the order of the numbers.

    Returns:
        "classes", their names, and "confusions": how often each right class (row) was given as each
        class (column).

    Example:
        >>> confusions(np.array([[0.25, 0.75], [0.6, 0.4]]), np.array([1, 1]), ["a", "b"])
        {'classes': ['a', 'b'], 'confusions': [[0, 0], [1, 1]]}
    """
    matrix = np.zeros((len(class_names), len(class_names)), int)
    np.add.at(matrix, (labels, probabilities.argmax(axis=1)), 1)
    return {"classes": list(class_names), "confusions": matrix.tolist()}
