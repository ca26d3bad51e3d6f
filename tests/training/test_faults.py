import contextlib
import io
import json

import jax
import jax.numpy as jnp
import pytest
from rich.console import Console
from small import PAIRS, make_experiment, with_fields

from flax_transformer.data.batches.batches import Batches
from flax_transformer.errors import UserError
from flax_transformer.tasks.translation.translation_task import TranslationTask
from flax_transformer.training import loop, run
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.durability.resume_proof import differences
from flax_transformer.training.log import MAX_STEPS_IN_FLIGHT
from flax_transformer.training.metrics import MetricsWriter
from flax_transformer.training.parallel import MappedDevices
from flax_transformer.training.step import StepMetrics


@pytest.fixture
def experiment(tmp_path):
    return with_fields(
        make_experiment(tmp_path), "training", num_steps=7, log_every_steps=1, max_skipped=3
    )


@pytest.fixture
def infinite(monkeypatch):
    """Parameters of which one is infinite from the beginning on."""
    init = TranslationTask.init

    def init_infinite(self, rng):
        leaves, structure = jax.tree.flatten(init(self, rng))
        return jax.tree.unflatten(structure, [leaves[0].at[0].set(jnp.inf), *leaves[1:]])

    monkeypatch.setattr(TranslationTask, "init", init_infinite)


def train(experiment, path, **options):
    loop.train(experiment, path, Console(file=io.StringIO()), **options)


@pytest.mark.usefixtures("infinite")
def test_updates_that_are_not_finite_stop_the_training(experiment, tmp_path):
    workdir = Workdir(tmp_path / "run")
    message = r"not finite in 3 updates in a row, from step 1 on .*not_finite/step-1/report.json\)"
    with pytest.raises(UserError, match=message):
        train(experiment, workdir.path)
    folder = workdir.path / "not_finite" / "step-1"
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert report["loss"] == "nan"
    assert sum(found["not_finite"] for found in report["parameters"].values()) > 0
    assert {pair["source"] for pair in report["examples"]} <= {pair.source for pair in PAIRS}
    lines = [json.loads(line) for line in workdir.metrics.read_text().splitlines()]
    assert [(line["step"], line["skipped_updates"]) for line in lines] == [(1, 1), (2, 1), (3, 1)]
    assert lines[0]["loss"] is None


@pytest.mark.usefixtures("infinite")
def test_the_first_operation_is_found(experiment, tmp_path):
    with pytest.raises(UserError, match=r"the first NaN came out of .* in .*line \d+"):
        train(experiment, tmp_path / "run", find_nans=True)


def test_memory_that_runs_out_names_the_batch(experiment, tmp_path, monkeypatch):
    def update(*arguments):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 7 bytes.")

    monkeypatch.setattr(MappedDevices, "compile", lambda self, step: update)
    with pytest.raises(UserError, match=r"out of memory on a batch of \d+ rows.* --training.acc"):
        train(experiment, tmp_path / "run")


def test_a_thread_that_fails_ends_the_training_with_its_error(experiment, tmp_path, monkeypatch):
    getitem = Batches.__getitem__

    def failing(self, step):
        if step == 4:
            raise OSError("the disk is gone")
        return getitem(self, step)

    monkeypatch.setattr(Batches, "__getitem__", failing)
    with pytest.raises(OSError, match="the disk is gone"):
        train(experiment, tmp_path / "run")


def test_a_disk_that_is_full_of_metrics_is_told_and_the_same_command_continues(
    experiment, tmp_path, full_disk, monkeypatch
):
    """The error is kept, as a notebook does: the folder must be free all the same."""
    write, number = MetricsWriter.write, 0

    def write_on_a_full_disk(self, *arguments):
        nonlocal number
        number += 1
        with full_disk() if number == 4 else contextlib.nullcontext():
            write(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(MetricsWriter, "write", write_on_a_full_disk)
        with pytest.raises(UserError, match=r"cannot write into .*run \(File too large\)") as kept:
            train(experiment, tmp_path / "run")
    train(experiment, tmp_path / "run")
    assert kept.value
    train(experiment, tmp_path / "straight")
    assert differences(tmp_path / "straight", tmp_path / "run") == []


def test_a_training_that_cannot_begin_lets_the_folder_go(experiment, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(run, "make_optimizer", crash)
        with pytest.raises(ZeroDivisionError) as kept:
            train(experiment, tmp_path / "run")
    train(experiment, tmp_path / "run")
    assert kept.value


def crash(*_):
    raise ZeroDivisionError


def test_no_more_steps_are_in_flight_than_an_interruption_can_wait_for(
    experiment, tmp_path, monkeypatch
):
    waited, wait = [], jax.block_until_ready

    def block_until_ready(value):
        waited.append(type(value))
        return wait(value)

    monkeypatch.setattr(jax, "block_until_ready", block_until_ready)
    train(with_fields(experiment, "training", log_every_steps=100), tmp_path / "run")
    assert waited.count(StepMetrics) == 7 - MAX_STEPS_IN_FLIGHT
