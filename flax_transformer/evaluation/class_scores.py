"""Scores of a classifier, from the probabilities that it gives, however many classes there are."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from flax_transformer.evaluation.scores import Score, mean_loss

TOP = 5
CHUNK_SIZE = 1024  # examples whose probabilities are compared at one time
MAX_MATRIX_CLASSES = (
    100  # of a whole matrix of confusions: of 10,000 it would be a gigabyte of JSON
)
MAX_CONFUSIONS = 1000  # listed


class Outcomes(NamedTuple):
    """The results of a classifier for each example, from which its scores are computed.

    Attributes:
        labels: numbers of the right classes.
        given: numbers of the most probable classes, the first of equally probable ones.
        confidences: probabilities of these.
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

    def scores(self, num_classes: int) -> dict[str, Score]:
        """Every score by its name; see `class_scores`."""
        if not len(self.labels):
            raise ValueError("no examples to score")
        is_right = self.given == self.labels
        scores = [Score("accuracy", 100 * float(is_right.mean()))]
        if num_classes > TOP:
            scores.append(Score("top5_accuracy", 100 * float(self.is_in_top.mean())))
        scores.append(Score("macro_f1", _macro_f1(self._counts(num_classes))))
        scores.append(mean_loss(float(self.nll.sum(dtype=np.float64)), len(self.labels)))
        return {score.name: score for score in scores}

    def details(self, class_names: Sequence[str]) -> dict[str, Any]:
        """Gives the counts, scores and confusions of each class, as plain data.

        Args:
            class_names: in the order of the numbers.

        Returns:
            "classes", their names. "per_class", by name: "examples" of it, how often it was
            "given", and how often that was "correct"; "precision" (correct / given), "recall"
            (correct / examples) and "f1" (2 correct / (given + examples)) in percent, 0 where
            the denominator is 0. "largest_confusions": the 1,000 most frequent pairs of a right
            class and another one given, the most frequent first. "confusions", of at most 100
            classes only: how often each right class (row) was given as each class (column).

        Example:
            >>> outcomes = Outcomes.of(np.eye(2)[[1, 0]], np.zeros(2), np.array([1, 1]))
            >>> details = outcomes.details(["a", "b"])
            >>> details["per_class"]["b"]["recall"], details["confusions"]
            (50.0, [[0, 0], [1, 1]])
            >>> details["largest_confusions"]
            [{'right': 'b', 'given': 'a', 'count': 1}]
        """
        num_classes = len(class_names)
        counts = self._counts(num_classes)
        columns = counts._asdict() | counts.ratios()
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

    def _counts(self, num_classes: int) -> "_Counts":
        right = self.labels[self.given == self.labels]
        numbers = (self.labels, self.given, right)
        return _Counts(*(np.bincount(part, minlength=num_classes) for part in numbers))

    def _cells(self, num_classes: int) -> Int[np.ndarray, " examples"]:
        """Numbers the cells of the matrix of confusions row by row."""
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


class _Counts(NamedTuple):
    """Numbers of each class: its examples, how often it was given, and how often rightly."""

    examples: Int[np.ndarray, " classes"]
    given: Int[np.ndarray, " classes"]
    correct: Int[np.ndarray, " classes"]

    def ratios(self) -> dict[str, Float[np.ndarray, " classes"]]:
        """Precision, recall and F1 in percent, 0 where the denominator is 0."""
        parts = {
            "precision": (self.correct, self.given),
            "recall": (self.correct, self.examples),
            "f1": (2 * self.correct, self.given + self.examples),
        }
        return {name: 100 * part / np.maximum(whole, 1) for name, (part, whole) in parts.items()}


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
        "accuracy" (the most probable class is right), "top5_accuracy" (the right one is among the
        five most probable; only where there are more than five) and "macro_f1" (the mean F1 of the
        classes that have an example or were given, as scikit-learn defines it) in percent, and
        "loss" in nats.

    Raises:
        ValueError: if there is no example.

    Example:
        >>> probabilities, labels = np.array([[0.25, 0.75], [0.5, 0.5]]), np.array([1, 1])
        >>> scores = class_scores(probabilities, np.array([0.3, 0.7]), labels)
        >>> [(name, round(score.value, 2)) for name, score in scores.items()]
        [('accuracy', 50.0), ('macro_f1', 33.33), ('loss', 0.5)]
    """
    return Outcomes.of(probabilities, nll, labels).scores(probabilities.shape[1])


def _num_ahead(
    probabilities: Float[np.ndarray, "rows classes"], labels: Int[np.ndarray, " rows"]
) -> Int[np.ndarray, " rows"]:
    """Counts the classes before the right one: sorting ten thousand classes would take minutes.

    Of equally probable classes the one with the lower number comes first. Where the probability of
    the right class is not a number, all classes come before it.
    """
    own = np.take_along_axis(probabilities, labels[:, None], axis=1)
    is_before = np.arange(probabilities.shape[1]) < labels[:, None]
    return np.sum(~(probabilities <= own) | (is_before & (probabilities == own)), axis=1)


def _macro_f1(counts: _Counts) -> float:
    occurs = counts.examples + counts.given > 0
    return float(counts.ratios()["f1"][occurs].mean())
