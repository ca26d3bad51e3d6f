"""Scores of classifiers, against scikit-learn's and by their definitions."""

import json
import time
import tracemalloc

import numpy as np
import pytest

from flax_transformer.evaluation.class_scores import (
    MAX_CONFUSIONS,
    MAX_MATRIX_CLASSES,
    Outcomes,
)
from flax_transformer.evaluation.metric import compute_scores
from flax_transformer.evaluation.scores import Score
from flax_transformer.tasks.tasks import TASKS


def draw(num_examples: int, num_classes: int, seed: int = 0):
    """Probabilities in which the right class is likely; the last class never occurs."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes - 1, num_examples)
    logits = rng.normal(size=(num_examples, num_classes))
    logits[np.arange(num_examples), labels] += 1.5
    logits[:, -1] = -9
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    nll = -np.log(probabilities[np.arange(num_examples), labels])
    return probabilities.astype(np.float32), nll.astype(np.float32), labels.astype(np.int32)


def class_scores(probabilities, nll, labels) -> dict[str, Score]:
    outcomes = Outcomes.of(probabilities, nll, labels)
    names = TASKS["image_classification"].scores
    return compute_scores(names, **outcomes.measured(probabilities.shape[1]))


@pytest.mark.parametrize("num_classes", [3, 6, 23])
def test_scores_are_those_of_scikit_learn(num_classes):
    metrics = pytest.importorskip("sklearn.metrics", reason="needs the extra images")
    probabilities, nll, labels = draw(211, num_classes)
    given = probabilities.argmax(axis=1)
    scores = {name: s.value for name, s in class_scores(probabilities, nll, labels).items()}
    expected = {
        "accuracy": 100 * metrics.accuracy_score(labels, given),
        "macro_f1": 100 * metrics.f1_score(labels, given, average="macro"),
        "loss": metrics.log_loss(labels, probabilities, labels=range(num_classes)),
    }
    if num_classes > 5:
        top = metrics.top_k_accuracy_score(labels, probabilities, k=5, labels=range(num_classes))
        expected["top5_accuracy"] = 100 * top
    assert scores == pytest.approx(expected, rel=1e-5)

    names = [f"class {number}" for number in range(num_classes)]
    details = Outcomes.of(probabilities, nll, labels).details(names)
    columns = metrics.precision_recall_fscore_support(
        labels, given, labels=range(num_classes), zero_division=0
    )
    for number, name in enumerate(names):
        precision, recall, f1, examples = (column[number] for column in columns)
        found = details["per_class"][name]
        assert found["examples"] == examples
        assert found["precision"] == pytest.approx(100 * precision)
        assert found["recall"] == pytest.approx(100 * recall)
        assert found["f1"] == pytest.approx(100 * f1)
    matrix = metrics.confusion_matrix(labels, given, labels=range(num_classes))
    assert details["confusions"] == matrix.tolist()
    assert details["classes"] == names


def test_a_class_without_examples_that_is_never_given_has_zeros_and_no_weight():
    """The mean is over the classes that occur, as scikit-learn's is."""
    probabilities = np.eye(3, dtype=np.float32)[[0, 1, 0]]
    outcomes = Outcomes.of(probabilities, np.zeros(3, np.float32), np.array([0, 1, 1]))
    details = outcomes.details(["a", "b", "c"])
    absent = {"examples": 0, "given": 0, "correct": 0, "precision": 0, "recall": 0, "f1": 0}
    assert details["per_class"]["c"] == absent
    # F1 of a: 2 / (2 + 1); of b: 2 / (1 + 2).
    score = compute_scores(["macro_f1"], **outcomes.measured(3))["macro_f1"]
    assert score.value == pytest.approx(100 * 2 / 3)


@pytest.mark.parametrize("num_classes", [2, 5, 6])
def test_the_five_most_probable_classes_count_where_there_are_more(num_classes):
    scores = class_scores(*draw(31, num_classes))
    assert ("top5_accuracy" in scores) == (num_classes > 5)
    # The next score of a task is the next of a line of metrics.
    assert list(scores) == [name for name in TASKS["image_classification"].scores if name in scores]


def test_of_equally_probable_classes_the_first_come_first():
    probabilities = np.full((7, 7), 1 / 7, np.float32)
    scores = class_scores(probabilities, np.full(7, np.log(7), np.float32), np.arange(7))
    assert scores["accuracy"].value == pytest.approx(100 / 7)
    assert scores["top5_accuracy"].value == pytest.approx(500 / 7)


def test_probabilities_that_are_not_numbers_are_no_hits():
    probabilities = np.full((3, 7), np.nan, np.float32)
    scores = class_scores(probabilities, np.full(3, np.nan, np.float32), np.array([4, 5, 6]))
    assert scores["top5_accuracy"].value == scores["accuracy"].value == 0


def test_the_largest_confusions_come_first_and_right_answers_are_none():
    given = np.array([1, 1, 2, 0, 0, 0, 2, 2])
    labels = np.array([0, 0, 0, 0, 1, 2, 2, 1])
    outcomes = Outcomes.of(np.eye(3, dtype=np.float32)[given], np.zeros(8, np.float32), labels)
    found = outcomes.details(["a", "b", "c"])["largest_confusions"]
    assert found[0] == {"right": "a", "given": "b", "count": 2}
    assert {(cell["right"], cell["given"], cell["count"]) for cell in found} == {
        ("a", "b", 2),
        ("a", "c", 1),
        ("b", "a", 1),
        ("b", "c", 1),
        ("c", "a", 1),
    }


def test_ten_thousand_classes_are_scored_in_seconds_and_a_few_megabytes():
    num_classes, num_examples = 10_000, 2000
    rng = np.random.default_rng(0)
    labels = rng.integers(0, num_classes, num_examples)
    probabilities = rng.random((num_examples, num_classes), np.float32)
    names = [f"class {number}" for number in range(num_classes)]
    tracemalloc.start()
    started = time.process_time()
    outcomes = Outcomes.of(probabilities, np.ones(num_examples, np.float32), labels)
    measured, details = outcomes.measured(num_classes), outcomes.details(names)
    scores = compute_scores(TASKS["image_classification"].scores, **measured)
    written = json.dumps(details)
    seconds = time.process_time() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert set(scores) == set(TASKS["image_classification"].scores)
    assert len(details["per_class"]) == num_classes
    assert len(details["largest_confusions"]) == MAX_CONFUSIONS
    assert num_classes > MAX_MATRIX_CLASSES
    assert "confusions" not in details
    assert len(written) < 3e6
    assert peak < 100e6
    assert seconds < 10


def test_no_example_is_refused():
    with pytest.raises(ValueError, match="above 0 to divide by, not 0"):
        class_scores(np.zeros((0, 3)), np.zeros(0), np.zeros(0, int))
