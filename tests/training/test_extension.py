"""An extended training ends as if it had had all its steps from the beginning."""

import functools
import io
import json
import os
import signal

import pytest
from interrupted import interrupt_batches
from rich.console import Console
from small import make_experiment, with_fields

from flax_transformer.errors import UserError
from flax_transformer.evaluation.scores import Score
from flax_transformer.tasks.task import Scored
from flax_transformer.training import loop
from flax_transformer.training.assemble import open_checkpoints
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.durability.resume_proof import differences

pytestmark = pytest.mark.usefixtures("quickly_compiled")

NUM_STEPS = 9
# Step 5 is scored only by trainings that end there, and would be the best.
SCORES = {3: 4.0, 5: 9.0, 6: 2.0, 7: 3.0, 9: 1.0}


@pytest.fixture(autouse=True)
def planned_scores(monkeypatch):
    def evaluate(self, state, log):
        step = int(self.devices.whole(state.step))
        name = self.experiment.training.best_score
        log.evaluation(step, Scored({name: Score(name, SCORES[step])}, [], [], ""), 0.0)

    monkeypatch.setattr(loop.Run, "evaluate", evaluate)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@functools.cache
def small(folder):
    """Writes the files once: their times are noted, and compared."""
    return make_experiment(folder)


def make(folder, num_steps, schedule="constant", **training):
    experiment = with_fields(small(folder), "data", tokens_per_batch=100)
    peak = None if schedule == "paper" else 0.01
    experiment = with_fields(experiment, "optimizer", schedule=schedule, learning_rate=peak)
    settings = {
        "checkpoint_every_steps": 2,
        "evaluate_every_steps": 3,
        "log_every_steps": 2,
        "keep_checkpoints": 1,
    }
    return with_fields(experiment, "training", num_steps=num_steps, **settings | training)


def train(experiment, path) -> str:
    printed = io.StringIO()
    loop.train(experiment, path, Console(file=printed))
    return printed.getvalue()


@pytest.mark.parametrize(
    ("schedule", "ends"),
    [
        ("constant", [5]),
        ("constant", [6]),
        pytest.param("constant", [5, 7], marks=pytest.mark.slow),
        pytest.param("inverse_sqrt", [5], marks=pytest.mark.slow),
        ("paper", [5]),
    ],
)
def test_an_extended_training_leaves_what_a_long_one_does(folder, tmp_path, schedule, ends):
    for num_steps in ends:
        train(make(folder, num_steps, schedule), tmp_path / "extended")
    long = make(folder, NUM_STEPS, schedule)
    assert f"continuing after step {ends[-1]}" in train(long, tmp_path / "extended")
    train(long, tmp_path / "straight")
    assert differences(tmp_path / "straight", tmp_path / "extended") == []
    steps = [json.loads(line) for line in Workdir(tmp_path / "extended").metrics.open()]
    assert [line["step"] for line in steps if line["kind"] == "validation"] == [3, 6, 9]
    assert [line["step"] for line in steps if line["kind"] == "train"] == [2, 4, 6, 8, 9]


def test_a_training_of_which_the_end_is_the_best_keeps_it(folder, tmp_path):
    experiment = make(folder, 5)
    train(experiment, tmp_path)
    checkpoints = open_checkpoints(Workdir(tmp_path), experiment.training, is_reader=True)
    # That of step 3 is the best of a longer training.
    assert (checkpoints.best_step(), checkpoints.steps()) == (5, [3, 5])
    checkpoints.close()


def test_an_interrupted_training_is_extended_too(folder, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        interrupt_batches(patch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(KeyboardInterrupt):
            train(make(folder, 5), tmp_path / "extended")
    for path in ("extended", "straight"):
        train(make(folder, NUM_STEPS), tmp_path / path)
    assert differences(tmp_path / "straight", tmp_path / "extended") == []


def test_an_extension_that_fails_at_once_leaves_a_whole_run(folder, tmp_path, monkeypatch):
    """The lines of the end go first; where the experiment is not written they are made again."""
    short = make(folder, 5)
    train(short, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("flax_transformer.training.checkpoints.workdir.write_experiment", _fail)
        with pytest.raises(RuntimeError, match="power cut"):
            train(make(folder, NUM_STEPS), tmp_path)
    assert Workdir(tmp_path).load().training.num_steps == 5
    train(short, tmp_path)
    lines = [json.loads(line) for line in Workdir(tmp_path).metrics.open()]
    assert [line["step"] for line in lines if line["kind"] == "validation"] == [3, 5]


def _fail(*_):
    raise RuntimeError("power cut")


def test_the_interval_of_the_log_may_change(folder, tmp_path):
    train(make(folder, 5), tmp_path / "run")
    other = make(folder, 9, log_every_steps=3)
    train(other, tmp_path / "run")
    assert Workdir(tmp_path / "run").load().training.log_every_steps == 3
    lines = [json.loads(line) for line in Workdir(tmp_path / "run").metrics.open()]
    assert [line["step"] for line in lines if line["kind"] == "train"] == [2, 4, 6, 9]
    train(make(folder, 9), tmp_path / "straight")
    found = differences(tmp_path / "straight", tmp_path / "run")
    # Only the displayed lines differ, not the results.
    assert found
    assert all(line.startswith(("experiment.json", "line ")) for line in found)


@pytest.mark.parametrize(
    ("first", "then", "message"),
    [
        (
            {"num_steps": 5, "schedule": "cosine"},
            {"num_steps": 9, "schedule": "cosine"},
            r"run cannot be extended from 5 to --training.num-steps 9: with --optimizer.schedule "
            r"cosine every .*; choose another --workdir, and --init-from .*run to begin",
        ),
        (
            {"num_steps": 5, "schedule": "linear"},
            {"num_steps": 9, "schedule": "linear"},
            r"--optimizer.schedule linear every .* --init-from .*run to begin",
        ),
        (
            {"num_steps": 5},
            {"num_steps": 4},
            "run holds a training of 5 steps, more than --training.num-steps 4: give 5 or more",
        ),
        (
            {"num_steps": 5},
            {"num_steps": 9, "keep_checkpoints": 2},
            r"another experiment \(--training.num-steps was 5, now 9; --training.keep-checkpoints ",
        ),
        (
            {"num_steps": 5},
            {"num_steps": 5, "evaluate_every_steps": 2},
            r"another experiment \(--training.evaluate-every-steps was 3, now 2\)",
        ),
    ],
)
def test_what_would_change_the_outcome_is_refused(folder, tmp_path, first, then, message):
    workdir = Workdir(tmp_path / "run")
    experiment = make(folder, **first)
    workdir.start(experiment)
    workdir.release()
    with pytest.raises(UserError, match=message):
        train(make(folder, **then), workdir.path)
    assert workdir.load() == experiment
