import json
import shutil

import pytest
from command_line import assert_is_error
from small import make_experiment, with_fields

from flax_transformer.commands import verify_resume_command as verify_resume
from flax_transformer.experiment import load_experiment, write_experiment
from flax_transformer.training.durability.resume_proof import (
    Kill,
    KilledTrainings,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """An experiment with checkpoints between evaluations and metrics between checkpoints."""
    folder = tmp_path_factory.mktemp("killed")
    experiment = with_fields(
        make_experiment(folder),
        "training",
        num_steps=24,
        checkpoint_every_steps=4,
        evaluate_every_steps=12,
        log_every_steps=3,
    )
    write_experiment(folder / "e.json", with_fields(experiment, "model", residual_dropout_rate=0.1))
    return folder / "e.json"


def test_three_kills_change_nothing(run, file):
    """The project's own proof; more kills are a matter of patience."""
    workdir = file.parent / "runs"
    result = run("verify-resume", str(file), "--kills", "3", "--workdir", str(workdir))
    assert result.code == 0, result.err
    assert result.out.count("\n  kill ") == 3
    assert "no difference after 3 kills in" in " ".join(result.out.split())
    assert load_experiment(workdir / "experiment.json") == load_experiment(file)
    assert json.loads((workdir / "uninterrupted" / "times.json").read_text())["lost"] == 0
    killed = [json.loads(path.read_text()) for path in workdir.glob("killed-*/times.json")]
    assert sum(seconds["lost"] for seconds in killed) > 0


def test_a_difference_is_told(run, file, monkeypatch):
    monkeypatch.setattr(KilledTrainings, "train_once", lambda self, workdir: 3.0)
    kills = [Kill(seconds=3.0, last_step=5, was_writing=False)]
    monkeypatch.setattr(KilledTrainings, "train_and_kill", lambda *args: iter(kills))
    monkeypatch.setattr(verify_resume, "differences", lambda *paths: ["best step: 3 in a, 5 in b"])
    result = run("verify-resume", str(file), "--kills", "1")
    assert result.code == 2
    assert "1 differences after 1 kills: best step: 3 in a, 5 in b; give --workdir" in result.err


def test_a_training_that_fails_by_itself_is_told(run, file):
    shutil.copy(file, file.parent / "broken.json")
    content = json.loads(file.read_text())
    content["data"]["train_source"] = "/nowhere.txt"
    (file.parent / "broken.json").write_text(json.dumps(content))
    result = run("verify-resume", str(file.parent / "broken.json"))
    assert result.code == 2
    assert "training failed with code 2: error: /nowhere.txt does not exist" in result.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "no experiment file: give one, flax-transformer verify-resume experiments/"),
        ("small.py --kills 0", "--kills must be at least 1, not 0"),
        ("small.py --kils 3", "unknown option '--kils': did you mean '--kills'"),
        (
            "small.py --workdir nothing",
            "--workdir nothing cannot be made .File exists.: give a new one",
        ),
        ("smal.py", "unknown experiment file 'smal.py': did you mean 'small.py'"),
    ],
)
def test_mistakes_get_one_line(run, words, message):
    assert_is_error(run("verify-resume", *words.split()), message)
