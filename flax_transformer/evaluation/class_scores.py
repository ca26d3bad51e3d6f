"""Scores of a classifier from its probabilities, for any number of classes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from flax_transformer.evaluation.scores import Score, mean

TOP = 5
CHUNK_SIZE = 1024  # examples that are compared at a time
# Limit of the confusion matrix: for 10,000 classes it would be a gigabyte of JSON.
MAX_MATRIX_CLASSES = 100
MAX_CONFUSIONS = 1000  # listed


class Outcomes(NamedTuple):
    """Results of a classifier for each example; its scores are computed from them.

    Attributes:
        labels: numbers of the right classes.
        given: numbers of the most probable classes; the first of equally probable ones.
        confidences: probabilities of the given classes.
        is_in_top: whether the right class is among the five most probable ones.
        nll: negative log-likelihood of the right classes in nats.
    """

    labels: Int[np.ndarray, " examples"]
    given: Int[np.ndarray, " examples"]
    confidences: Float[np.ndarray, " examples"]
    is_in_top: Bool[np.ndarray, " examples"]
    nll: Float[np.ndarray, " examples"]

    @classmethod
    def of(
        cls,
        probabilities: Float[np.ndarray, "examples classes"],
        nll: Float[np.ndarray, " examples"],
        labels: Int[np.ndarray, " examples"],
    ) -> "Outcomes":
        """Compares probabilities with the right classes.

        Example:
            >>> found = Outcomes.of(np.array([[0.2, 0.8]]), np.array([1.6]), np.array([0]))
            >>> found.given.tolist(), found.confidences.tolist(), found.is_in_top.tolist()
            ([1], [0.8], [True])
        """
        given = probabilities.argmax(axis=1)
        confidences = np.take_along_axis(probabilities, given[:, None], axis=1)[:, 0]
        is_in_top = np.zeros(len(labels), bool)
        for start in range(0, len(labels), CHUNK_SIZE):
            rows = slice(start, start + CHUNK_SIZE)
            is_in_top[rows] = _num_ahead(probabilities[rows], labels[rows]) < TOP
        return cls(np.asarray(labels), given, confidences, is_in_top, nll)

    def measured(self, num_classes: int) -> dict[str, Any]:
        """Returns the arguments of the metrics; see `compute_scores`."""
        sums = {"loss_sum": float(self.nll.sum(dtype=np.float64)), "num_targets": len(self.labels)}
        return {**self._asdict(), **sums, "num_classes": num_classes}

    def details(self, class_names: Sequence[str]) -> dict[str, Any]:
        """Returns the counts, scores and confusions of each class, as plain data.

        Args:
            class_names: in the order of the class numbers.

        Returns:
            "classes": their names. "per_class", by name: the numbers of "examples", of times
            "given" and of times "correct"; "precision" (correct / given), "recall"
            (correct / examples) and "f1" (2 correct / (given + examples)) in percent, 0 where
            the denominator is 0. "largest_confusions": the 1,000 most frequent pairs of a right
            and a wrong given class, the most frequent first. "confusions", only for at most 100
            classes: how often each right class (row) was given as each class (column).

        Example:
            >>> outcomes = Outcomes.of(np.eye(2)[[1, 0]], np.zeros(2), np.array([1, 1]))
            >>> details = outcomes.details(["a", "b"])
            >>> details["per_class"]["b"]["recall"], details["confusions"]
            (50.0, [[0, 0], [1, 1]])
            >>> details["largest_confusions"]
            [{'right': 'b', 'given': 'a', 'count': 1}]
        """
        num_classes = len(class_names)
        columns = count_classes(self.labels, self.given, num_classes)
        values = zip(*(column.tolist() for column in columns.values()), strict=True)
        details: dict[str, Any] = {
            "classes": list(class_names),
            "per_class": {
                name: dict(zip(columns, row, strict=True))
                for name, row in zip(class_names, values, strict=True)
            },
            "largest_confusions": self._largest_confusions(class_names),
        }
        if num_classes <= MAX_MATRIX_CLASSES:
            cells = np.bincount(self._cells(num_classes), minlength=num_classes**2)
            details["confusions"] = cells.reshape(num_classes, num_classes).tolist()
        return details

    def _cells(self, num_classes: int) -> Int[np.ndarray, " examples"]:
        """Numbers the cells of the confusion matrix row by row."""
        return self.labels.astype(np.int64) * num_classes + self.given

    def _largest_confusions(self, class_names: Sequence[str]) -> list[dict[str, Any]]:
        cells, counts = np.unique(
            self._cells(len(class_names))[self.given != self.labels], return_counts=True
        )
        largest = np.argsort(-counts, kind="stable")[:MAX_CONFUSIONS]
        return [
            {"right": class_names[right], "given": class_names[given], "count": count}
            for right, given, count in zip(
                *(part.tolist() for part in np.divmod(cells[largest], len(class_names))),
                counts[largest].tolist(),
                strict=True,
            )
        ]


def accuracy(labels: Int[np.ndarray, " examples"], given: Int[np.ndarray, " examples"]) -> Score:
    """Computes the share of examples for which the most probable class is right.

    Args:
        labels: numbers of the right classes.
        given: numbers of the most probable classes.

    Returns:
        The score in percent.

    Raises:
        ValueError: without examples.

    Example:
        >>> accuracy(np.array([1, 2]), np.array([1, 0])).value
        50.0
    """
    return Score("accuracy", 100 * mean(int(np.count_nonzero(given == labels)), len(labels)))


def top5_accuracy(is_in_top: Bool[np.ndarray, " examples"], num_classes: int) -> Score | None:
    """Computes the share of examples with the right class among the five most probable ones.

    Args:
        is_in_top: whether the right class is among the five, for each example.
        num_classes: number of all classes.

    Returns:
        The score in percent; None if there are at most five classes.

    Example:
        >>> top5_accuracy(np.array([True, False]), 10)
        Score(name='top5_accuracy', value=50.0, signature=None)
    """
    if num_classes <= TOP:
        return None
    share = mean(int(np.count_nonzero(is_in_top)), len(is_in_top))
    return Score("top5_accuracy", 100 * share)


def macro_f1(
    labels: Int[np.ndarray, " examples"], given: Int[np.ndarray, " examples"], num_classes: int
) -> Score:
    """Computes the mean F1 of all classes with an example or a prediction, like scikit-learn.

    Args:
        labels: numbers of the right classes.
        given: numbers of the most probable classes.
        num_classes: number of all classes.

    Returns:
        The score in percent.

    Example:
        >>> round(macro_f1(np.array([1, 1]), np.array([1, 0]), 2).value, 2)
        33.33
    """
    classes = count_classes(labels, given, num_classes)
    occurs = classes["examples"] + classes["given"] > 0
    return Score("macro_f1", float(classes["f1"][occurs].mean()))


def count_classes(
    labels: Int[np.ndarray, " examples"], given: Int[np.ndarray, " examples"], num_classes: int
) -> dict[str, Int[np.ndarray, " classes"] | Float[np.ndarray, " classes"]]:
    """Counts the examples and the total and correct predictions of each class.

    Args:
        labels: numbers of the right classes.
        given: numbers of the most probable classes.
        num_classes: number of all classes.

    Returns:
        "examples", "given" and "correct". In percent, and 0 where the denominator is 0:
        "precision" (correct / given), "recall" (correct / examples) and
        "f1" (2 correct / (given + examples)).

    Example:
        >>> count_classes(np.array([1, 1]), np.array([1, 0]), 2)["recall"].tolist()
        [0.0, 50.0]
    """
    examples, predicted, correct = (
        np.bincount(numbers, minlength=num_classes)
        for numbers in (labels, given, labels[given == labels])
    )
    parts = {
        "precision": (correct, predicted),
        "recall": (correct, examples),
        "f1": (2 * correct, predicted + examples),
    }
    ratios = {name: 100 * part / np.maximum(whole, 1) for name, (part, whole) in parts.items()}
    return {"examples": examples, "given": predicted, "correct": correct, **ratios}


def _num_ahead(
    probabilities: Float[np.ndarray, "rows classes"], labels: Int[np.ndarray, " rows"]
) -> Int[np.ndarray, " rows"]:
    """Counts the classes that rank before the right one; sorting 10,000 classes takes minutes.

    Equally probable classes rank by number. If the probability of the right class is NaN, all
    classes rank before it.
    """
    own = np.take_along_axis(probabilities, labels[:, None], axis=1)
    is_before = np.arange(probabilities.shape[1]) < labels[:, None]
    return np.sum(~(probabilities <= own) | (is_before & (probabilities == own)), axis=1)
