"""How parameters and rows are cut over a mesh, and what devices send to each other."""

import dataclasses
import math
import re

import jax
import numpy as np
import optax
import pytest
from published_presets import PRESETS
from small_models import MODELS
from small_tasks import language_modeling_task, text_batch

from flax_transformer.errors import UserError
from flax_transformer.models import ZOO, DecoderOnlyConfig
from flax_transformer.training.mesh_devices import MeshDevices
from flax_transformer.training.mesh_shape import mesh_sizes, parse_mesh
from flax_transformer.training.optimizer.parameter_paths import is_stacked, names_of
from flax_transformer.training.planning.collectives import find_collectives
from flax_transformer.training.sharding_rules import find_rule, is_replicated, sharding_axes
from flax_transformer.training.step import init_state, make_train_step


def shapes_of(module, inputs, method="__call__"):
    found = jax.eval_shape(
        lambda *given: module.init(jax.random.key(0), *given, method=method), *inputs
    )
    return found["params"]


def all_models():
    for name, model in MODELS.items():
        yield name, shapes_of(*model)
    for name in PRESETS:
        published = ZOO[name]
        config = published.model.config
        counts = [f.name for f in dataclasses.fields(config) if re.match("num_.*layers$", f.name)]
        small = dataclasses.replace(config, **dict.fromkeys(counts, config.period()))
        module = published.model.clone(config=small)
        yield name, shapes_of(module, published.inputs, published.method)


def test_every_parameter_has_a_rule_or_is_listed_as_replicated():
    unknown, used = set(), set()
    for name, params in all_models():
        for key_path, leaf in jax.tree_util.tree_leaves_with_path(params):
            path = names_of(key_path)
            rule = find_rule(path, len(leaf.shape) - is_stacked(path))
            if rule is None and not is_replicated(path):
                unknown.add((name, "/".join(path), leaf.shape))
            assert rule is None or not is_replicated(path), path
            used.add(rule)
    assert not unknown
    assert len(used) > 8


@pytest.mark.parametrize("name", ["base", "bart-base", "bert-base"])
def test_a_device_holds_its_share_of_the_state(name):
    published = ZOO[name]
    params = shapes_of(published.model, published.inputs, published.method)
    state = jax.eval_shape(lambda: init_state({"params": params}, optax.adam(1e-3)))
    devices = MeshDevices(jax.devices(), "fsdp=8")
    whole = part = 0
    leaves, places = jax.tree.leaves(state), jax.tree.leaves(devices.shardings(state))
    for leaf, sharding in zip(leaves, places, strict=True):
        whole += leaf.size
        part += math.prod(sharding.shard_shape(leaf.shape))
    assert part <= 1.1 / 8 * whole


def test_an_axis_that_does_not_divide_is_not_cut():
    path = ("decoder_0", "self_attention", "key", "kernel")
    assert sharding_axes(path, (512, 2, 64), {"fsdp": 8, "tensor": 4}) == ("fsdp", None, None)
    stacked = ("decoder", *path[1:])
    assert sharding_axes(stacked, (6, 512, 8, 64), {"fsdp": 8, "tensor": 4}) == (
        *(None, "fsdp", "tensor", None),
    )
    moments = ("optimizer_state", "0", "mu", *path)
    assert sharding_axes(moments, (512, 8, 64), {}) == ("fsdp", "tensor", None)


@pytest.mark.parametrize("mesh", ["fsdp=8", "data=8"])
def test_devices_send_no_more_than_they_must(mesh):
    """In loops at most a layer's largest kernel; of the vocabulary only the table and its gradient.

    Sharding rules alone give the right results too, but gather activations of all rows.
    """
    d_model, vocab, rows, length = 32, 4099 - 3, 64, 48
    # As large language models are: without remat, XLA finds the right cut by itself.
    config = DecoderOnlyConfig(
        num_layers=3,
        d_model=d_model,
        d_ff=48,
        num_heads=4,
        num_key_value_heads=2,
        activation="swiglu",
        norm="rms",
        norm_placement="pre",
        positions="rotary",
        remat="all",
        scan_layers=True,
    )
    task = language_modeling_task(config, vocab)
    optimizer = optax.sgd(0.1)
    step = make_train_step(task.loss, optimizer, max_skipped=1)
    devices = MeshDevices(jax.devices(), mesh)
    state = devices.place(jax.device_get(init_state(task.init(jax.random.key(0)), optimizer)))
    batch = devices.share(text_batch(np.ones((rows, length), np.int32)))
    text = devices.lower(step, state, batch, jax.random.key(0)).compile().as_text()
    found = list(find_collectives(text))
    # The loop over layers.
    assert {one.times for one in found if one.in_loop} == {config.num_layers}
    kernel = 4 * d_model * 2 * 48
    assert [one.line for one in found if one.in_loop and one.largest > kernel] == []
    of_vocabulary = [one.line for one in found if one.largest >= 4 * vocab * d_model]
    # The table for the logits, and the gradients of the logits and of the embeddings.
    assert 1 <= len(of_vocabulary) <= 3, of_vocabulary
    assert [one.line for one in found if one.largest > 4 * vocab * d_model] == []


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("data=-1", (8, 1, 1, 1)),
        ("fsdp=4, data=-1", (2, 4, 1, 1)),
        ("data=2,fsdp=1,tensor=4", (2, 1, 4, 1)),
        ("expert=2,tensor=-1", (1, 1, 4, 2)),
    ],
)
def test_sizes_of_a_mesh(text, sizes):
    assert tuple(mesh_sizes(text, 8).values()) == sizes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("date=2", r"unknown --training.mesh 'date': did you mean 'data'"),
        ("", "unknown --training.mesh ''"),
        ("data", "--training.mesh data: give data a number of devices, or -1 for the rest"),
        ("data=0", "give data a number"),
        ("data=-2", "give data a number"),
        ("data=2,data=4", "names data twice: leave one out"),
        ("data=-1,fsdp=-1", "only one axis may be -1"),
    ],
)
def test_a_mesh_that_makes_no_sense_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        parse_mesh(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data=3", "needs 3 devices, but there are 8: change a size, or give data=-1"),
        ("data=-1,fsdp=3", "needs a multiple of 3 devices, but there are 8"),
        ("data=2", "needs 2 devices, but there are 8"),
    ],
)
def test_a_mesh_of_another_number_of_devices_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        mesh_sizes(text, 8)


@pytest.mark.parametrize(("is_mapped", "times"), [(True, 1), (False, 5)])
def test_micro_batches_are_added_up_before_devices(is_mapped, times):
    d_model, rows, length = 16, 40, 12
    config = DecoderOnlyConfig(num_layers=1, d_model=d_model, d_ff=24, num_heads=2)
    task, optimizer = language_modeling_task(config, 67), optax.sgd(0.1)
    devices = MeshDevices(jax.devices(), "data=8", is_mapped)
    step = make_train_step(
        task.loss, optimizer, max_skipped=1, accumulate_steps=5, axis_name=devices.axis_name
    )
    state = devices.place(jax.device_get(init_state(task.init(jax.random.key(0)), optimizer)))
    batch = devices.share(text_batch(np.ones((rows, length), np.int32)))
    text = devices.lower(step, state, batch, jax.random.key(0)).compile().as_text()
    sums = [one for one in find_collectives(text) if one.kind == "all-reduce"]
    # XLA adds up the devices for each micro-batch if it sees the whole batch.
    assert {one.times for one in sums if one.largest >= 4 * d_model * 24} == {times}
