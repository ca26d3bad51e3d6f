"""A small language model whose layers are mixtures of experts."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import assert_close
from text_models import write_experiment_file

import flax_transformer as ft
from flax_transformer.experiment import read_experiment
from flax_transformer.tasks.language_modeling.language_modeling_task import LanguageModelingTask
from flax_transformer.training.assemble import open_run

EXPERTS: dict[str, Any] = {
    "feed_forward": "experts",
    "num_experts": 4,
    "balancing_weight": 0.5,
    "activation": "swiglu",
}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> ft.Experiment:
    dense = read_experiment(write_experiment_file(tmp_path_factory.mktemp("texts")))
    return dataclasses.replace(
        dense,
        model=dataclasses.replace(dense.model, **EXPERTS),
        training=dataclasses.replace(dense.training, num_steps=100),
    )


@pytest.fixture(scope="module")
def workdir(experiment, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("experts")
    ft.train(experiment, folder)
    return folder


def lines_of(workdir: Path, kind: str) -> list[dict[str, Any]]:
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if line["kind"] == kind]


def test_it_learns_and_its_balancing_loss_is_reported(workdir):
    lines = lines_of(workdir, "train")
    for line in lines:
        # Two of four experts a token: 0.5 * 2 where all are chosen equally often, 0.5 * 4 at most.
        assert line["balancing"] == pytest.approx(1, abs=0.2)
    # Without any context the loss of three letters is ln 3 = 1.1.
    assert lines[-1]["loss"] < 0.1 < lines[0]["loss"]
    assert lines_of(workdir, "validation")[-1]["token_accuracy"] > 90
    assert ft.load(workdir).generate(["abcab"])


def test_checkpoints_hold_parameters_only(workdir):
    variables = open_run(workdir, "last").variables
    assert variables.keys() == {"params"}
    assert variables["params"]["decoder_0"]["feed_forward"].keys() == {
        "router",
        "hidden",
        "output",
    }


def test_the_balancing_loss_is_beside_the_loss_and_changes_the_router_only(experiment, tmp_path):
    task = LanguageModelingTask.open(experiment, tmp_path, training=True)
    variables, batch = task.init(jax.random.key(0)), task.batches("train")[0]
    assert variables.keys() == {"params"}
    without = dataclasses.replace(experiment.model, balancing_weight=1e-30)
    other = LanguageModelingTask(dataclasses.replace(experiment, model=without), task.tokenizer)

    @jax.jit
    def losses(variables):
        key = jax.random.key(1)
        return task.loss(variables, batch, key), other.loss(variables, batch, key)

    loss, plain = losses(variables)
    np.testing.assert_array_equal(loss.sum, plain.sum)
    assert loss.extra.keys() == {"balancing"}
    assert loss.statistics == {}
    assert_close(plain.extra["balancing"] * 0.5e30, loss.extra["balancing"], 1e-5)

    gradient = jax.jit(
        jax.grad(lambda v: task.loss(v, batch, jax.random.key(1)).extra["balancing"])
    )(variables)
    layer = gradient["params"]["decoder_0"]["feed_forward"]
    assert jnp.abs(layer["router"]["kernel"]).max() > 0
    for leaf in jax.tree.leaves([layer["hidden"], layer["output"]]):
        np.testing.assert_array_equal(leaf, 0)
