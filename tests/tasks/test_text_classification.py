import math
from typing import Any

import jax
import numpy as np
import pytest
from overfitting import fit
from reference import assert_close
from rich.console import Console
from small import with_fields
from small_texts import TEXTS, classification
from untrained import EXPERIMENTS, write_workdir

from flax_transformer.data.batches.batch import NO_CLASS, LabeledBatch
from flax_transformer.errors import UserError
from flax_transformer.tasks.classification.text_classification import TextClassification
from flax_transformer.training.assemble import evaluate, load, open_run
from flax_transformer.training.loop import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("texts")


@pytest.fixture(scope="module")
def workdir(folder):
    train(classification(folder), folder / "run", Console(quiet=True))
    return folder / "run"


@pytest.fixture(scope="module")
def prepared(folder):
    task = TextClassification.open(classification(folder), folder / "none", training=True)
    return task, task.batches("train")


def test_the_order_of_words_is_learned_and_scored(workdir):
    record, scored = evaluate(workdir, "validation", command=())
    assert record.scores["accuracy"].value == 100
    assert 0 < record.scores["loss"].value < 0.3
    lines = (workdir / "scores" / "validation-average.txt").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == [label for _, label in TEXTS]
    for line in lines:
        assert abs(sum(map(float, line.split("\t")[1:])) - 1) < 1e-3
    assert scored.example == TEXTS[0][0]


def test_texts_are_told_one_by_one_as_together(workdir):
    classifier = load(workdir)
    texts = [text for text, _ in TEXTS]
    together = classifier.classify(texts)
    assert [prediction.label for prediction in together] == [label for _, label in TEXTS]
    for text, prediction in list(zip(texts, together, strict=True))[::7]:
        [alone] = classifier.classify([text])
        assert list(alone.probabilities) == list(prediction.probabilities)
        assert_close(
            np.array(list(alone.probabilities.values())),
            np.array(list(prediction.probabilities.values())),
            1e-5,
        )
        assert abs(sum(alone.probabilities.values()) - 1) < 1e-5


@pytest.mark.usefixtures("unchecked_types")
def test_a_text_of_any_length_is_told(workdir):
    """Beyond what a model reads it is cut; nothing at all is a text, too."""
    classifier = load(workdir)
    assert classifier.classify([]) == []
    long, cut = classifier.classify(["Ada greets Ben" + " and Cleo" * n for n in (100, 200)])
    assert long == cut
    assert classifier.classify([""])[0].label in {"before", "after"}
    with pytest.raises(UserError, match="text 2 is not a string but 3: give a list of strings"):
        classifier.classify(["Ada", 3])


def test_one_batch_is_learned_by_heart(prepared):
    task, batches = prepared
    batch = batches[0]
    first, last = fit(
        lambda params: task.loss({"params": params}, batch, jax.random.key(0))[0] / 40,
        task.init(jax.random.key(0))["params"],
        num_steps=100,
        rate=0.01,
    )
    assert abs(first - math.log(2)) < 0.5
    assert last < 0.02


def test_rows_that_fill_a_batch_change_no_loss(prepared):
    task, batches = prepared
    params = task.init(jax.random.key(0))["params"]
    batch = batches[0]
    filled = batch._replace(
        inputs=np.pad(batch.inputs, ((0, 3), (0, 0))),
        labels=np.pad(batch.labels, (0, 3), constant_values=-1),
        segments=np.pad(batch.segments, ((0, 3), (0, 0))),
    )
    losses = [task.loss({"params": params}, b, jax.random.key(0))[:2] for b in (batch, filled)]
    assert_close(losses[1][0], losses[0][0], 1e-5)
    assert losses[0][1] == losses[1][1] == 40


def test_dropped_tokens_are_dropped_in_training_alone(folder, prepared):
    _, batches = prepared
    experiment = with_fields(classification(folder), "model", token_dropout_rate=0.5)
    task = TextClassification.open(experiment, folder / "none", training=True)
    variables = task.init(jax.random.key(0))
    losses = {float(task.loss(variables, batches[0], jax.random.key(i))[0]) for i in range(3)}
    assert len(losses) == 3
    with_rate, without = (t.predict(variables, batches[0])[0] for t in (task, prepared[0]))
    np.testing.assert_array_equal(with_rate, without)


def test_a_trained_run_is_read_without_its_data(workdir, tmp_path):
    task = open_run(workdir, "best").task
    task.save(tmp_path)
    restored = TextClassification.open(
        open_run(workdir, "best").experiment, tmp_path, training=False
    )
    assert restored.model == task.model
    (tmp_path / "classes.json").write_text("no JSON")
    with pytest.raises(UserError, match=r"cannot read .*classes\.json .*restore the file"):
        TextClassification.open(open_run(workdir, "best").experiment, tmp_path, training=False)


@pytest.mark.parametrize(
    ("lost", "message"),
    [("tokenizer.json", "cannot read the tokenizer"), ("classes.json", "cannot read")],
)
def test_a_trained_classifier_without_its_files_is_refused(tmp_path, lost, message):
    """Made anew, a tokenizer would have other ids than the model was trained with."""
    workdir = write_workdir(tmp_path / "run", EXPERIMENTS["texts"])
    assert load(workdir).classify(["good"])[0].label
    (workdir / lost).unlink()
    with pytest.raises(UserError, match=f"{message}.*{lost}.*restore the file"):
        load(workdir)


def test_the_examples_of_a_batch_are_its_texts(tmp_path):
    """As a report of numbers that are not finite shows them."""
    workdir = write_workdir(tmp_path / "run", EXPERIMENTS["texts"])
    task: Any = open_run(workdir, "last").task
    texts, segments = task.read(["good", "a b"]).take(np.array([1, 0, -1]))
    batch = LabeledBatch(texts, np.array([2, 0, NO_CLASS], np.int32), segments)
    assert list(task.examples(batch)) == [
        {"row": 0, "class": "newt", "text": "a b"},
        {"row": 1, "class": "cat", "text": "good"},
    ]
