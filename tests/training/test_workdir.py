import json
import subprocess
import sys
from typing import Any

import pytest
from small import make_experiment, with_fields

from flax_transformer.errors import UserError
from flax_transformer.training.assemble import load
from flax_transformer.training.checkpoints.workdir import Workdir


@pytest.fixture
def experiment(tmp_path):
    return make_experiment(tmp_path / "data")


@pytest.fixture
def workdir(tmp_path, experiment):
    workdir = Workdir(tmp_path / "deep" / "run")
    workdir.start(experiment)
    return workdir


def test_the_experiment_is_kept(workdir, experiment):
    assert workdir.load() == experiment
    workdir.start(experiment)
    assert {path.name for path in workdir.path.iterdir()} == {"experiment.json", ".lock"}


# Claims a folder, says so, and waits to be killed.
PROGRAM = """
import json, sys, time
from pathlib import Path
from flax_transformer.experiment import Experiment
from flax_transformer.training.checkpoints.workdir import Workdir

workdir = Workdir(Path(sys.argv[1]))
workdir.start(workdir.load())
print("claimed", flush=True)
time.sleep(600)
"""


def test_two_processes_do_not_train_in_one_folder_and_a_dead_one_does_not_keep_it(
    workdir, experiment
):
    workdir.release()
    command = [sys.executable, "-c", PROGRAM, str(workdir.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "claimed\n"
        with pytest.raises(UserError, match=r"another process is training in .*run: wait for it"):
            workdir.start(experiment)
        other.kill()
    workdir.start(experiment)
    workdir.release()


def test_another_experiment_is_refused_by_what_differs(workdir, experiment):
    other = with_fields(with_fields(experiment, "model", d_ff=67), "training", num_steps=3)
    with pytest.raises(
        UserError, match=r"another experiment \(--model.d-ff was 64, now 67; --training.num-steps"
    ):
        workdir.start(other)
    assert workdir.load() == experiment


def test_of_many_differences_three_are_shown_and_the_way_to_continue(workdir, experiment):
    other = with_fields(experiment, "model", num_heads=1, d_ff=67, d_model=12)
    other = with_fields(other, "training", patience=3, keep_checkpoints=3)
    with pytest.raises(UserError) as raised:
        workdir.start(other)
    path, file = workdir.path, workdir.path / "experiment.json"
    before, after = experiment.model, other.model
    assert str(raised.value) == (
        f"{path} holds another experiment (--model.d-model was {before.d_model}, now "
        f"{after.d_model}; --model.d-ff was {before.d_ff}, now 67; --model.num-heads was "
        f"{before.num_heads}, now 1; and 2 more: see {file}): choose another --workdir, or "
        f"continue that one with flax-transformer train {file} --workdir {path}"
    )


def test_a_file_is_no_workdir(tmp_path, experiment):
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.raises(UserError, match="file is not a directory: choose another --workdir"):
        Workdir(path).start(experiment)
    with pytest.raises(UserError, match=r"cannot write into .*: choose another --workdir"):
        Workdir(path / "run").start(experiment)
    assert path.read_text() == "mine"


def test_an_empty_folder_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path} holds no run: train one with .*{tmp_path}"):
        load(tmp_path)


@pytest.mark.usefixtures("unchecked_types")
def test_unknown_weights_are_refused(workdir):
    mistaken: Any = "lats"
    with pytest.raises(UserError, match=r"unknown --weights 'lats': did you mean 'last'\?"):
        load(workdir.path, mistaken)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "[" * 100_000, "nested too deeply"),
        (lambda text: text[:-20], "line"),
        (lambda text: json.dumps(json.loads(text) | {"sede": 1}), r"extra fields found \(sede\)"),
        (
            lambda text: text.replace('"d_ff": 64', '"d_ff": "wide"'),
            "--model.d-ff: 'wide' is not of type int",
        ),
    ],
    ids=["nested", "cut off", "unknown field", "wrong type"],
)
@pytest.mark.usefixtures("unchecked_types")
def test_a_damaged_experiment_is_refused(workdir, change, message):
    path = workdir.path / "experiment.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(UserError, match=f"cannot read .*experiment.json: .*{message}"):
        workdir.load()
