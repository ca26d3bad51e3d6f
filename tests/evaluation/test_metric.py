"""Metrics: the registry, what tasks list of it, and one that is added from outside."""

import numpy as np
import pytest

from flax_transformer.evaluation.metric import (
    METRICS,
    Metric,
    compute_scores,
    is_less_better,
    metrics_of,
    shown,
)
from flax_transformer.evaluation.scores import Score
from flax_transformer.tasks.tasks import TASKS
from flax_transformer.training.metrics import MetricsWriter, best_step, validation_scores

MEASURED = {
    "hypotheses": ["a cat"],
    "references": ["a cat"],
    "loss_sum": 3.0,
    "num_targets": 4,
    "num_correct": 2,
    "num_bytes": 9,
    "labels": np.array([6, 1]),
    "given": np.array([6, 2]),
    "is_in_top": np.array([True, True]),
    "num_classes": 7,
}


@pytest.mark.parametrize("name", METRICS)
def test_a_score_has_the_name_of_its_metric(name):
    assert compute_scores([name], **MEASURED)[name].name == name


@pytest.mark.parametrize("task", TASKS)
def test_every_score_of_a_task_is_a_metric(task):
    scores = TASKS[task].scores
    assert scores
    assert set(scores) <= set(METRICS)
    assert list(compute_scores(scores, **MEASURED)) == list(scores)


def test_every_metric_is_one_of_a_task():
    assert {name for task in TASKS.values() for name in task.scores} == set(METRICS)


def test_a_metric_without_a_meaning_is_left_out():
    measured = MEASURED | {"num_classes": 5}
    assert list(compute_scores(["top5_accuracy", "loss"], **measured)) == ["loss"]


def word_error_rate(hypotheses, references) -> Score:
    wrong = [
        one != other
        for text, reference in zip(hypotheses, references, strict=True)
        for one, other in zip(text.split(), reference.split(), strict=True)
    ]
    return Score("word_error_rate", float(np.mean(wrong)))


def test_a_metric_is_added_by_a_function_and_a_line(monkeypatch, tmp_path):
    """It is computed with the others, shown in its unit, and the lowest value is the best."""
    metric = Metric(word_error_rate, unit="nats", less_is_better=True)
    monkeypatch.setitem(METRICS, "word_error_rate", metric)
    names = metrics_of("hypotheses")
    assert names == ("bleu", "chrf", "exact_match", "word_error_rate")
    values = [
        compute_scores(names, hypotheses=[text], references=["a cat"])["word_error_rate"].value
        for text in ("a dog", "a cat", "no dog")
    ]
    assert values == [0.5, 0.0, 1.0]
    assert shown("word_error_rate", values[0]) == "0.5000"
    assert is_less_better("word_error_rate")
    writer = MetricsWriter(tmp_path / "metrics.jsonl", tmp_path / "tensorboard", 0)
    for step, value in enumerate(values, 1):
        writer.write(step, "validation", {"word_error_rate": value})
    writer.close()
    assert best_step(validation_scores(tmp_path / "metrics.jsonl", "word_error_rate")) == 2
