import contextlib
import dataclasses
import io
import json
import os
import re
import shutil
import signal
from typing import Any

import jax
import numpy as np
import optax
import pytest
from interrupted import crash, interrupt_batches
from rich.console import Console
from small import make_experiment, with_fields

from flax_transformer.errors import UserError
from flax_transformer.evaluation.scores import Score
from flax_transformer.models.zoo import count_parameters
from flax_transformer.tasks.task import Scored
from flax_transformer.training import loop
from flax_transformer.training.assemble import evaluate, load, open_checkpoints, open_run
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.durability.resume_proof import differences
from flax_transformer.training.optimizer.optimizer_config import make_optimizer
from flax_transformer.training.optimizer.update_rules import moving_average
from flax_transformer.training.step import TrainState, init_state

pytestmark = [pytest.mark.platforms, pytest.mark.usefixtures("quickly_compiled")]

NUM_STEPS = 7


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """Crosses epochs, saves at steps 2, 3, 4, 6 and 7; to repeat, it needs the same dropout, the
    running statistics and the moving average of the parameters."""
    experiment = make_experiment(tmp_path_factory.mktemp("data"))
    experiment = with_fields(experiment, "data", tokens_per_batch=100)
    experiment = with_fields(experiment, "model", residual_dropout_rate=0.1, norm="batch")
    experiment = with_fields(experiment, "optimizer", ema_decay=0.9)
    return with_fields(
        experiment,
        "training",
        num_steps=NUM_STEPS,
        checkpoint_every_steps=2,
        evaluate_every_steps=3,
        log_every_steps=1,
        keep_checkpoints=2,
    )


def train(experiment, path) -> str:
    printed = io.StringIO()
    loop.train(experiment, path, Console(file=printed))
    return printed.getvalue()


@pytest.fixture(scope="module")
def straight(experiment, tmp_path_factory):
    """The workdir of an uninterrupted run, and what it printed."""
    path = tmp_path_factory.mktemp("straight") / "run"
    return path, train(experiment, path)


@pytest.fixture(scope="module", params=["at a step", "in an evaluation", "by a crash"])
def continued(request, experiment, tmp_path_factory):
    """The workdir of a run that was interrupted, how, and what its second half printed.

    At step 5 no checkpoint is due, and step 6 is evaluated. A crash leaves the one of step 4.
    """
    path = tmp_path_factory.mktemp("continued") / "run"
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "by a crash":
            interrupt_batches(patch, 5, crash)
        elif request.param == "at a step":
            interrupt_batches(patch, 4, lambda: os.kill(os.getpid(), signal.SIGTERM))
        else:
            evaluate = loop.Run.evaluate

            def interrupted_evaluate(self, state, log):
                if int(self.devices.whole(state).step) == 6:
                    os.kill(os.getpid(), signal.SIGINT)
                evaluate(self, state, log)

            patch.setattr(loop.Run, "evaluate", interrupted_evaluate)
        # A crash reports nothing.
        last = {"at a step": 5, "in an evaluation": 6, "by a crash": None}[request.param]
        said = last and f"^interrupted after step {last}, which is saved: the same command"
        with pytest.raises(KeyboardInterrupt, match=said):
            train(experiment, path)
    return path, train(experiment, path), request.param


def read_metrics(path):
    return [json.loads(line) for line in Workdir(path).metrics.read_text().splitlines()]


def test_a_run_says_what_it_trains_on(straight):
    printed = " ".join(straight[1].split())
    assert "20 sentence pairs; batch shapes: 1, each compiled once; updates an epoch: 2" in printed
    assert "target tokens an update over 8 cpu device(s), padding " in printed
    vocab_size = load(straight[0]).tokenizer.vocab_size
    expected = count_parameters(Workdir(straight[0]).load().model, vocab_size)
    assert f" {expected:,} parameters " in printed
    assert f"step {NUM_STEPS}/{NUM_STEPS} loss " in printed
    assert f"step {NUM_STEPS} validation: bleu " in printed
    assert "twenty two -> " in printed


def test_metrics_hold_each_step_once(straight):
    lines = read_metrics(straight[0])
    steps = {"train": list(range(1, NUM_STEPS + 1)), "validation": [3, 6, 7]}
    for kind, expected in steps.items():
        assert [line["step"] for line in lines if line["kind"] == kind] == expected
    losses = [line["loss"] for line in lines if line["kind"] == "train"]
    assert losses[-1] < losses[0]
    assert all("chrf" in line for line in lines if line["kind"] == "validation")


def last_state(experiment, path) -> TrainState:
    """The last checkpoint: parameters, statistics and the optimizer's state."""
    variables = open_run(path, "last").variables
    optimizer = make_optimizer(experiment.optimizer, optax.constant_schedule(0.0))
    checkpoints = open_checkpoints(Workdir(path), experiment.training, is_reader=True)
    with contextlib.closing(checkpoints):
        return checkpoints.restore(init_state(variables, optimizer), NUM_STEPS).state


def test_a_continued_run_ends_as_the_uninterrupted_one(experiment, straight, continued):
    last = {"at a step": 5, "in an evaluation": 6, "by a crash": 4}[continued[2]]
    assert f"continuing after step {last}" in continued[1]
    states = [last_state(experiment, path) for path in (straight[0], continued[0])]
    assert states[0].statistics
    jax.tree.map(np.testing.assert_array_equal, *states)


def test_the_average_of_the_parameters_is_evaluated_and_read(experiment, straight):
    state = last_state(experiment, straight[0])
    average = moving_average(state.optimizer_state)
    read = open_run(straight[0], "last").variables["params"]
    jax.tree.map(np.testing.assert_array_equal, read, average)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), state.params, average)
    assert max(jax.tree.leaves(moved)) > 1e-3
    decoding = dataclasses.replace(experiment.decoding, method="greedy")
    command = ["test"]
    _, scored = evaluate(
        straight[0], "validation", command=command, weights="last", decoding=decoding
    )
    line = read_metrics(straight[0])[-1]
    # Optimized programs round differently; what training compiles is not compiled quickly.
    found = {name: score.value for name, score in scored.scores.items()}
    assert {name: line[name] for name in found} == pytest.approx(found, rel=1e-6)


def test_a_continued_run_leaves_what_the_uninterrupted_one_does(straight, continued):
    assert differences(straight[0], continued[0]) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda path: (path / "tokenizer.json").write_text("{}"),
            r"tokenizer.json: .* in .*, \"{}",
        ),
        (
            lambda path: shutil.rmtree(path / "checkpoints" / "7"),
            r"steps of the checkpoints: \[.*7\] in .*, \[.*\] in ",
        ),
        (
            lambda path: replace(path / "metrics.jsonl", '"step": 5', '"step": 50'),
            r'line 6 of metrics.jsonl: {"step": 5, "kind": "train", .* in .* {"step": 50',
        ),
        (
            lambda path: replace(path / "checkpoints" / "7" / "contents" / "metadata", "int32", ""),
            r"optimizer of step 7: ",
        ),
    ],
)
def test_every_difference_is_found(straight, tmp_path, change, message):
    other = tmp_path / "other"
    shutil.copytree(straight[0], other)
    assert differences(straight[0], other) == []
    change(other)
    assert any(re.match(message, found) for found in differences(straight[0], other))


def replace(path, old, new):
    path.write_text(path.read_text().replace(old, new))


def test_metrics_between_two_lines_survive_an_interruption(experiment, tmp_path):
    """Lines come after steps 4 and 7: that of step 7 is a mean over both processes."""
    experiment = with_fields(experiment, "training", log_every_steps=4, num_steps=7)
    train(experiment, tmp_path / "straight")
    with pytest.MonkeyPatch.context() as patch:
        interrupt_batches(patch, 5, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(KeyboardInterrupt):
            train(experiment, tmp_path / "continued")
    train(experiment, tmp_path / "continued")
    assert differences(tmp_path / "straight", tmp_path / "continued") == []


def test_a_run_says_where_its_time_went(straight):
    path, printed = straight
    seconds = json.loads(Workdir(path).times.read_text())
    for part in ("start", "compile", "step", "evaluation", "checkpoint"):
        assert seconds[part] > 0
    assert seconds["lost"] == 0
    assert re.search(r"^[\d.]+ s: starting [\d.]+, compiling [\d.]+, ", printed, re.MULTILINE)


def test_training_ends_early_without_a_better_score(experiment, tmp_path, monkeypatch):
    """Scores after 2, 4, 6, ... updates fall but for one: the best stays, patience runs out."""
    scores = iter([3.0, 5.0, 4.0, 5.0, 9.0])

    def evaluate(self, state, log):
        name = experiment.training.score
        scored = Scored({name: Score(name, next(scores))}, [], [], "")
        log.evaluation(int(self.devices.whole(state).step), scored, 0.0)

    monkeypatch.setattr(loop.Run, "evaluate", evaluate)
    experiment = with_fields(
        experiment, "training", num_steps=100, evaluate_every_steps=2, patience=2
    )
    train(experiment, tmp_path / "run")
    assert [line["step"] for line in read_metrics(tmp_path / "run") if "chrf" in line] == [
        2,
        4,
        6,
        8,
    ]
    assert open_run(tmp_path / "run", "best").steps == [4]
    assert "already trained for 8 steps" in train(experiment, tmp_path / "run")


def test_a_finished_run_is_left_alone(experiment, straight):
    path, _ = straight
    before = Workdir(path).metrics.read_bytes()
    assert f"already trained for {NUM_STEPS} steps" in train(experiment, path)
    assert Workdir(path).metrics.read_bytes() == before


@pytest.mark.parametrize(("weights", "steps"), [("average", [6, NUM_STEPS]), ("last", [NUM_STEPS])])
def test_weights_are_those_of_the_checkpoints(straight, weights, steps):
    path, _ = straight
    assert open_run(path, weights).steps == steps


def test_the_best_weights_have_the_highest_validation_score(straight):
    path, _ = straight
    scores = {line["step"]: line["chrf"] for line in read_metrics(path) if "chrf" in line}
    (best,) = open_run(path, "best").steps
    assert scores[best] == max(scores.values())


@pytest.mark.parametrize(
    ("part", "fields", "message"),
    [
        ("data", {"max_length": 2}, "none of the 20 pairs of train"),
        ("data", {"train_split": "trian"}, "unknown --data.train-split .* did you mean 'train'"),
        ("data", {"train_source": "/nowhere.txt"}, "/nowhere.txt does not exist"),
    ],
)
def test_a_mistake_leaves_no_trace(experiment, tmp_path, part, fields, message):
    path = tmp_path / "run"
    with pytest.raises(UserError, match=message):
        train(with_fields(experiment, part, **fields), path)
    assert not path.exists()


def test_packed_rows_are_trained_on(experiment, tmp_path, monkeypatch):
    experiment = with_fields(experiment, "data", packing=True, tokens_per_batch=8 * 24)
    experiment = with_fields(experiment, "training", num_steps=1)
    pipeline, given = loop.training_pipeline, []
    monkeypatch.setattr(
        loop,
        "training_pipeline",
        lambda batches, **kwargs: given.append(batches[0]) or pipeline(batches, **kwargs),
    )
    train(experiment, tmp_path / "run")
    (batch,) = given
    data: Any = experiment.data
    assert batch.target.shape == (8, data.max_length)
    assert batch.target_segments.max() > 1
