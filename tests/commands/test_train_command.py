import dataclasses
import math
import os
import re
import signal
import sys

import pytest
from small import MODEL, PAIRS, make_experiment, with_fields

from flax_transformer.commands import train_command as train
from flax_transformer.conventions import apply_convention
from flax_transformer.models.zoo import ZOO
from flax_transformer.presets import apply_preset
from flax_transformer.tasks.translation.translation_config import TranslationConfig
from flax_transformer.training import loop
from flax_transformer.training.durability.interruption import Interrupted

pytestmark = pytest.mark.platforms


@pytest.fixture
def started(monkeypatch):
    """The experiments whose training began, and was interrupted at once."""
    experiments = []

    def interrupted_train(experiment, *_):
        experiments.append(experiment)
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "train", interrupted_train)
    return experiments


def test_training_says_what_it_does_and_what_to_do_next(trained):
    lines = trained.splitlines()
    assert lines[0].startswith(
        "20 sentence pairs; batch shapes: 1, each compiled once; updates an epoch: 1"
    )
    assert re.match(r"\d+ target tokens an update over 8 cpu .*, padding \d+\.\d%", lines[1])
    assert re.search(r"│ exact_match +│ 100\.00 │", trained)
    assert f"  {PAIRS[0].source} -> {PAIRS[0].target}" in lines
    assert lines[-1] == f'  flax-transformer translate --workdir run "{PAIRS[0].source}"'


@pytest.mark.parametrize(
    ("options", "expected", "smoothing"),
    [
        ("", {}, 0.1),
        ("--model.num-heads 4", {"num_heads": 4}, 0.1),
        ("--preset base", vars(ZOO["base"].config), 0.1),
        ("--preset=big --model.d-ff 67", vars(ZOO["big"].config) | {"d_ff": 67}, 0.1),
        ("--preset D-label-smoothing-0.2", vars(ZOO["base"].config), 0.2),
    ],
)
def test_options_change_the_experiment_of_the_file(
    run, folder, started, options, expected, smoothing
):
    result = run("train", "small.py", "--workdir", "new", *options.split())
    model = dataclasses.replace(MODEL, **expected)
    task = TranslationConfig(label_smoothing=smoothing)
    assert started == [dataclasses.replace(make_experiment(folder), model=model, task=task)]
    assert (result.code, result.err.count("\n")) == (130, 1)
    assert result.err == "interrupted\n"


def test_a_training_that_was_asked_to_stop_exits_with_the_signal(run, monkeypatch):
    def stopped(*_):
        raise Interrupted(signal.SIGTERM, 1500)

    monkeypatch.setattr(train, "train", stopped)
    result = run("train", "small.py", "--workdir", "new")
    assert result.code == 143
    said = "interrupted after step 1,500, which is saved: the same command continues from there\n"
    assert result.err == said


def test_an_interruption_of_the_final_scores_names_the_command_that_computes_them(run, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "train", lambda *_: None)
    monkeypatch.setattr(train, "evaluate", stopped)
    result = run("train", "small.py", "--workdir", "new")
    assert (result.code, result.err.count("\n")) == (130, 1)
    assert "flax-transformer evaluate --workdir new computes them" in result.err


@pytest.mark.parametrize(
    "options", [[], ["--debug-nans"], ["--deterministic"], ["--checkpoint-dir", "gs://bucket/run"]]
)
def test_how_to_compute_is_passed_on(run, monkeypatch, options):
    called = []
    monkeypatch.setattr(train, "repeat_bits", lambda: called.append("--deterministic"))

    def interrupted_train(experiment, path, console, find_nans, checkpoint_dir):
        called.extend(["--debug-nans"] * find_nans)
        called.extend(["--checkpoint-dir", checkpoint_dir] if checkpoint_dir else [])
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "train", interrupted_train)
    run("train", "small.py", "--workdir", "new", *options)
    assert called == options


def test_a_convention_changes_what_a_preset_gave_and_options_change_both(run, folder, started):
    options = "--optimizer.b2 0.5 --convention t2t --preset E-learned-positions"
    run("train", "small.py", "--workdir", "new", *options.split())
    expected = apply_preset(make_experiment(folder), "E-learned-positions")
    expected = with_fields(apply_convention(expected, "t2t"), "optimizer", b2=0.5)
    assert started == [expected]
    assert expected.model.positions == "sinusoidal_halves"


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ("--data.batch-size 8", 8),
        ("--data.batch-size 2 --data.batch-scope device", 16),
    ],
)
def test_an_update_may_be_counted_in_pairs(run, folder, monkeypatch, options, rows):
    def interrupted_pipeline(batches, **_):
        assert {len(batches[step].target) for step in range(3)} == {rows}
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "training_pipeline", interrupted_pipeline)
    text = (folder / "small.py").read_text().replace("tokens_per_batch=512, ", "")
    (folder / "pairs.py").write_text(text)
    result = run("train", "pairs.py", "--workdir", f"pairs{rows}", *options.split())
    assert result.code == 130
    assert f"updates an epoch: {math.ceil(len(PAIRS) / rows)}\n" in result.out


@pytest.mark.usefixtures("trained")
def test_the_same_command_finds_the_training_finished(run):
    result = run("train", "--workdir", "run", "small.py")
    assert result.code == 0
    assert "already trained for 100 steps" in result.out


@pytest.mark.parametrize("by", ["the command", "a function"])
def test_a_training_goes_on_when_nobody_reads_its_output(run, folder, monkeypatch, tmp_path, by):
    said = []

    def begin(_, workdir, console, accounts):
        for step in range(3):
            said.append(step)
            console.print(f"step {step}")
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "Run", begin)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        if by == "the command":
            result = run("train", "small.py", "--workdir", str(tmp_path / "run"))
            assert (result.code, result.err) == (130, "interrupted\n")
        else:
            with pytest.raises(KeyboardInterrupt):
                loop.train(make_experiment(folder), tmp_path / "run")
    assert said == [0, 1, 2]
