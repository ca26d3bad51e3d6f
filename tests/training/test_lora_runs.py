"""Trainings of adapters: what a workdir holds, continues with, and gives to the commands."""

import contextlib
import dataclasses
import io
import shutil
from typing import Any

import jax
import numpy as np
import pytest
from interrupted import crash, interrupt_batches
from reference import assert_close
from rich.console import Console
from small import with_fields
from small_texts import classification, masked

from flax_transformer.cli import main
from flax_transformer.errors import UserError
from flax_transformer.interchange import export_adapter, merge_adapter
from flax_transformer.interchange.exported_adapters import CONFIG, WEIGHTS
from flax_transformer.training import loop
from flax_transformer.training.assemble import Weights, evaluate, open_checkpoints, open_run
from flax_transformer.training.checkpoints.checkpoint_contents import named_leaves
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.durability.resume_proof import differences
from flax_transformer.training.lora import A, B, merged
from flax_transformer.training.lora_config import LoraConfig
from flax_transformer.training.metrics import validation_lines

pytestmark = pytest.mark.usefixtures("quickly_compiled")
NEW = {"classifier/kernel", "classifier/bias", "pooler/kernel", "pooler/bias"}


def train(experiment, path) -> str:
    printed = io.StringIO()
    loop.train(experiment, path, Console(file=printed, width=1000))
    return printed.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lora")


@pytest.fixture(scope="module")
def source(folder):
    """A masked language model."""
    experiment = with_fields(masked(folder), "model", pooling="first")
    train(with_fields(experiment, "training", num_steps=3), folder / "source")
    return folder / "source"


@pytest.fixture(scope="module")
def experiment(folder, source):
    """Adapters and a new head for it."""
    experiment = with_fields(classification(folder), "model", pooling="first")
    experiment = dataclasses.replace(experiment, init_from=str(source))
    return with_fields(
        experiment,
        "training",
        num_steps=4,
        evaluate_every_steps=2,
        checkpoint_every_steps=2,
        keep_checkpoints=2,
        lora=LoraConfig(rank=3, alpha=6.0),
    )


@pytest.fixture(scope="module")
def straight(folder, experiment):
    """A whole training, and what it printed."""
    return folder / "straight", train(experiment, folder / "straight")


def leaves_of(path, weights: Weights = "last") -> dict[str, Any]:
    return named_leaves(open_run(path, weights).variables["params"])


@contextlib.contextmanager
def checkpoints_of(path):
    workdir = Workdir(path)
    with contextlib.closing(open_checkpoints(workdir, workdir.load().training, True)) as found:
        yield found


def test_adapters_and_new_parts_are_trained_and_saved(straight, source):
    path, printed = straight
    assert "trained: 1,506 of 19,362 parameters " in printed
    assert (
        "parameters (LoRA rank 3 on query, value; in full: classifier, pooler) (compiling"
        in printed
    )
    with checkpoints_of(path) as checkpoints:
        saved = checkpoints.contents(4)["variables"]["shapes"]
        names = {name.removeprefix("params/") for name in saved}
        ones = {f"encoder_0/attention/{part}/{x}" for part in ("query", "value") for x in (A, B)}
        assert names == NEW | ones
        assert checkpoints.base is not None
        assert not named_leaves(checkpoints.base.params).keys() & NEW
    before, after = leaves_of(source), leaves_of(path)
    for name in after.keys() - NEW:
        is_changed = not np.array_equal(before[name], after[name])
        assert is_changed == name.endswith(("query/kernel", "value/kernel")), name


def test_a_workdir_is_used_as_any_other(straight, folder):
    """Its scores are those of the training, and another training can begin with it."""
    path, _ = straight
    line = validation_lines(path / "metrics.jsonl", "accuracy")[4]
    record, _ = evaluate(path, "validation", weights="last")
    assert record.scores["loss"].value == line["loss"]
    begun = dataclasses.replace(classification(folder / "others"), init_from=str(path))
    begun = with_fields(begun, "optimizer", learning_rate=1e-30)
    begun = with_fields(begun, "model", pooling="first")
    train(with_fields(begun, "training", num_steps=1), folder / "begun")
    before, after = leaves_of(path, "average"), leaves_of(folder / "begun")
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-20), before, after)


def test_averages_are_of_merged_weights(straight):
    """The mean of products is not the product of means."""
    path, _ = straight
    run = open_run(path, "average")
    assert run.steps == [2, 4]
    like = jax.eval_shape(run.task.init, jax.random.key(0))
    with checkpoints_of(path) as checkpoints:
        base = checkpoints.base
        one, other = (checkpoints.mean_variables(like, [step])[0] for step in run.steps)
        mean = jax.tree.map(lambda x, y: ((np.float64(x) + y) / 2).astype(x.dtype), one, other)
        jax.tree.map(np.testing.assert_array_equal, mean, run.variables)
        saved = [checkpoints.saved_variables(like, step) for step in run.steps]
    factors = jax.tree.map(lambda x, y: (x + y) / 2, *saved)
    query = "params/encoder_0/attention/query/kernel"
    product = named_leaves(merged(factors, base))[query]
    assert np.abs(product - named_leaves(mean)[query]).max() > 1e-6


def test_adapters_are_exported_without_the_model(straight, source, folder):
    path, adapter = straight[0], folder / "adapter"
    assert export_adapter(path, adapter, weights="last") == "bert"
    run = open_run(path, "last")
    with checkpoints_of(path) as checkpoints:
        saved = checkpoints.saved_variables(jax.eval_shape(lambda: run.variables), 4)["params"]
        assert checkpoints.base is not None
        plain = {"params": checkpoints.base.merge(jax.tree.map(np.zeros_like, saved))}
    found = merge_adapter(run.experiment.model, plain, adapter)
    jax.tree.map(lambda x, y: assert_close(x, y, 1e-6), found, run.variables)
    with pytest.raises(UserError, match=r"holds no adapters: train with --training\.lora\.rank"):
        export_adapter(source, folder / "none")


def test_the_command_exports_adapters_of_one_checkpoint(straight, folder, capsys):
    out = folder / "by_command"
    words = ["export", "--workdir", str(straight[0]), "--out", str(out), "--adapter"]
    with pytest.raises(SystemExit):
        main(words)
    assert "--adapter needs --weights best or last" in capsys.readouterr().err
    assert not out.exists()
    main([*words, "--weights", "last"])
    assert {path.name for path in out.iterdir()} == {WEIGHTS, CONFIG}
    assert "holds an adapter of the bert model of" in capsys.readouterr().out


def test_a_continued_training_needs_no_source(straight, experiment, source, folder, monkeypatch):
    """It ends with the same bits."""
    continued = folder / "continued"
    with monkeypatch.context() as patch:
        interrupt_batches(patch, 3, crash)
        with pytest.raises(KeyboardInterrupt):
            train(experiment, continued)
    source.rename(folder / "moved")
    try:
        assert "continuing after step 2" in train(experiment, continued)
        assert leaves_of(continued)
    finally:
        (folder / "moved").rename(source)
    assert not list(differences(straight[0], continued))


def test_an_interrupted_start_leaves_no_other_base(experiment, straight, folder, monkeypatch):
    """Until there is a checkpoint, the source counts."""
    again = folder / "again"
    with monkeypatch.context() as patch:
        interrupt_batches(patch, 0, crash)
        with pytest.raises(KeyboardInterrupt):
            train(experiment, again)
    assert (again / "base" / "0").exists()
    train(experiment, again)
    assert not list(differences(straight[0], again))


def test_a_base_that_is_missing_or_damaged_is_one_line(straight, folder):
    broken = folder / "broken"
    shutil.copytree(straight[0], broken)
    data = max((broken / "base").rglob("*"), key=lambda path: path.stat().st_size)
    data.write_bytes(bytes(reversed(data.read_bytes())))
    with pytest.raises(UserError, match=r"base.* is damaged .*: copy it back, or train again in"):
        open_run(broken, "last")
    shutil.rmtree(broken / "base")
    with pytest.raises(UserError, match=r"broken/base is missing: copy it back, or train again"):
        open_run(broken, "last")


def test_unusable_settings_are_refused_and_nothing_written(experiment, folder):
    with pytest.raises(UserError, match=r"lora.rank 3 would keep random weights: .* --init-from"):
        dataclasses.replace(experiment, init_from=None)
    other = with_fields(experiment, "training", lora=LoraConfig(rank=3, targets=("qeury",)))
    with pytest.raises(UserError, match=r"targets 'qeury': did you mean 'query'\?"):
        train(other, folder / "refused")
    assert not (folder / "refused").exists()
