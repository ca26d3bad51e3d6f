"""Trainings on a mesh of devices, which are continued on other meshes."""

import dataclasses
import io
import json

import jax
import numpy as np
import optax
import pytest
from reference import assert_close
from rich.console import Console
from small import make_experiment, with_fields

from flax_transformer.errors import UserError
from flax_transformer.tasks.tasks import find_task
from flax_transformer.training import loop
from flax_transformer.training.assemble import open_checkpoints
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.mesh_devices import MeshDevices
from flax_transformer.training.step import init_state

pytestmark = pytest.mark.usefixtures("quickly_compiled")
MESHES = ("data=2,fsdp=4", "fsdp=8", "data=2,fsdp=2,tensor=2")


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    made = make_experiment(tmp_path_factory.mktemp("data"))
    model = dataclasses.replace(
        made.model, d_model=16, d_ff=16, num_heads=2, residual_dropout_rate=0.1
    )
    made = dataclasses.replace(made, model=model)
    # Rows that no number of devices divides.
    return with_fields(made, "data", tokens_per_batch=331)


def train(experiment, path, mesh, num_steps):
    settings = {"checkpoint_every_steps": 3, "evaluate_every_steps": 3, "log_every_steps": 1}
    planned = with_fields(
        with_fields(experiment, "optimizer", schedule="constant", learning_rate=0.01),
        "training",
        **(settings | {"num_steps": num_steps, "mesh": mesh}),
    )
    loop.train(planned, path, Console(file=io.StringIO()))
    return planned


def losses(path):
    lines = map(json.loads, Workdir(path).metrics.read_text().splitlines())
    return [line["loss"] for line in lines if line["kind"] == "train"]


def test_a_run_that_changes_its_mesh_gives_the_losses_of_one_that_does_not(experiment, tmp_path):
    train(experiment, tmp_path / "whole", None, 6)
    for number, mesh in enumerate((MESHES[0], MESHES[2]), 1):
        train(experiment, tmp_path / "moved", mesh, 3 * number)
    expected = losses(tmp_path / "whole")
    assert len(expected) == 6
    assert_close(losses(tmp_path / "moved"), expected, 1e-5)


def cut_arrays(tree):
    return [x for x in jax.tree.leaves(tree) if not x.is_fully_replicated]


def test_a_state_has_the_same_bits_on_every_mesh_that_restores_it(experiment, tmp_path):
    task = find_task(experiment)[1].open(experiment, tmp_path, training=True)
    optimizer = optax.adam(0.1)
    drawn = init_state(task.init(jax.random.key(3)), optimizer)
    noise = np.random.default_rng(0)
    # Moments that are not 0.
    state = jax.tree.map(
        lambda x: noise.normal(size=x.shape).astype(x.dtype) if x.ndim else np.asarray(x), drawn
    )
    workdir = Workdir(tmp_path / "run")
    first = MeshDevices(jax.devices(), MESHES[0])
    placed = first.place(state)
    assert cut_arrays(placed.optimizer_state)
    checkpoints = open_checkpoints(workdir, experiment.training)
    checkpoints.save(first.to_save(placed), {})
    checkpoints.close()
    shapes = jax.eval_shape(lambda: drawn)
    reader = open_checkpoints(workdir, experiment.training, is_reader=True)
    for mesh in MESHES:
        devices = MeshDevices(jax.devices(), mesh)
        restored = reader.restore(devices.to_restore(shapes), 0).state
        assert cut_arrays(restored.optimizer_state)
        jax.tree.map(np.testing.assert_array_equal, jax.device_get(restored), state)
    jax.tree.map(np.testing.assert_array_equal, reader.restore(shapes, 0).state, state)
    reader.close()


def test_a_mesh_that_does_not_fit_leaves_no_trace(experiment, tmp_path):
    with pytest.raises(UserError, match=r"--training\.mesh data=3 needs 3 devices, but"):
        train(experiment, tmp_path / "run", "data=3", 2)
    assert not (tmp_path / "run").exists()
