"""More classes than a record, or a line of the outputs, can hold."""

import json
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from small import with_fields
from small_texts import classification
from untrained import EXPERIMENTS, write_workdir

from flax_transformer.data.datasets.own_files import OwnFiles
from flax_transformer.errors import UserError
from flax_transformer.tasks.classification.classification_task import MAX_LISTED_CLASSES
from flax_transformer.training.assemble import evaluate, load, open_run
from flax_transformer.training.loop import train

NUM_CLASSES = MAX_LISTED_CLASSES + 3
LABELS = [f"label {number}" for number in range(NUM_CLASSES)]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    rows = "".join(f"text {number}\t{label}\n" for number, label in enumerate(LABELS))
    (folder / "many.tsv").write_text(f"text\tlabel\n{rows}")
    path = str(folder / "many.tsv")
    one = with_fields(
        classification(folder), "data", train_file=path, validation_file=path, max_length=13
    )
    one = with_fields(one, "training", num_steps=2, best_score="macro_f1")
    train(one, folder / "run", Console(quiet=True))
    return folder / "run"


def test_a_line_holds_the_five_most_probable_of_many_classes(workdir):
    record, scored = evaluate(workdir, "validation", command=())
    texts = [f"text {number}" for number in range(NUM_CLASSES)]
    predictions = load(workdir).classify(texts)
    lines = (workdir / "scores" / "validation-average.txt").read_text().splitlines()
    assert lines == scored.outputs
    for line, prediction in zip(lines, predictions, strict=True):
        fields = line.split("\t")
        best = list(prediction.probabilities.items())[:5]
        assert fields[::2] == [name for name, _ in best]
        np.testing.assert_allclose([*map(float, fields[1::2])], [p for _, p in best], atol=6e-5)
    hits = [
        label in list(prediction.probabilities)[:5]
        for label, prediction in zip(LABELS, predictions, strict=True)
    ]
    assert record.scores["top5_accuracy"].value == pytest.approx(100 * np.mean(hits))


def test_the_record_holds_every_class_and_the_largest_confusions(workdir):
    evaluate(workdir, "validation", command=())
    details = json.loads((workdir / "scores" / "validation-average.json").read_text())["details"]
    assert set(details) == {"classes", "per_class", "largest_confusions"}
    assert sorted(details["classes"]) == sorted(LABELS) == sorted(details["per_class"])
    wrong = sum(row["examples"] - row["correct"] for row in details["per_class"].values())
    assert sum(cell["count"] for cell in details["largest_confusions"]) == wrong > 0


def test_a_look_at_a_model_in_training_makes_neither_lines_nor_details(workdir):
    run = open_run(workdir, "last")
    scored = run.task.evaluate(run.variables, "validation", is_quick=True)
    assert (scored.outputs, scored.details) == ([], {})
    assert len(scored.samples) == 3


def test_a_split_without_labels_is_refused(tmp_path, monkeypatch):
    """Some benchmarks keep the labels of their test split secret."""
    run = open_run(write_workdir(tmp_path / "run", EXPERIMENTS["texts"]), "last")
    task: Any = run.task
    (tmp_path / "own.tsv").write_text("text\tlabel\na\tcat\nb\tdog\n")
    examples = task.read_own(OwnFiles(file=tmp_path / "own.tsv"))
    secret = examples._replace(labels=np.array([0, -1], np.int32))
    monkeypatch.setattr(task, "read_split", lambda *_: secret)
    with pytest.raises(UserError, match="1 of 2 examples of the split test have no label: choose"):
        task.evaluate(run.variables, "test")
