import dataclasses
import re

import pytest
from small import MODEL, PAIRS, make_experiment

from flax_transformer.commands import train
from flax_transformer.models.presets import PRESETS
from flax_transformer.tasks.translation import TranslationConfig


def test_training_says_what_it_does_and_what_to_do_next(trained):
    lines = trained.splitlines()
    assert lines[0].startswith("20 sentence pairs; 1 batch shapes, each compiled once; 1 updates")
    assert re.match(r"\d+ target tokens an update over 8 cpu .*, padding \d+\.\d%", lines[1])
    assert re.search(r"│ exact_match +│ 100\.00 │", trained)
    assert f"  {PAIRS[0].source} -> {PAIRS[0].target}" in lines
    assert lines[-1] == f'  flax-transformer translate --workdir run "{PAIRS[0].source}"'


@pytest.mark.parametrize(
    ("options", "expected", "smoothing"),
    [
        ("", {}, 0.1),
        ("--model.num-heads 4", {"num_heads": 4}, 0.1),
        ("--preset base", vars(PRESETS["base"]), 0.1),
        ("--preset=big --model.d-ff 67", vars(PRESETS["big"]) | {"d_ff": 67}, 0.1),
        ("--preset D-label-smoothing-0.2", vars(PRESETS["base"]), 0.2),
    ],
)
def test_options_change_the_experiment_of_the_file(
    run, folder, monkeypatch, options, expected, smoothing
):
    started = []

    def interrupted_train(experiment, *_):
        started.append(experiment)
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "train", interrupted_train)
    result = run("train", "small.py", "--workdir", "new", *options.split())
    model = dataclasses.replace(MODEL, **expected)
    task = TranslationConfig(label_smoothing=smoothing)
    assert started == [dataclasses.replace(make_experiment(folder), model=model, task=task)]
    assert (result.code, result.err.count("\n")) == (130, 1)
    assert "the same command continues" in result.err


@pytest.mark.usefixtures("trained")
def test_the_same_command_finds_the_training_finished(run):
    result = run("train", "--workdir", "run", "small.py")
    assert result.code == 0
    assert "already trained for 100 steps" in result.out
