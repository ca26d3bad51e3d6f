"""What is known of a training before it runs."""

import dataclasses
import importlib.util

import jax
import numpy as np
import pytest
from small import SOURCES, TARGETS, make_experiment
from small_tasks import language_modeling_task

from flax_transformer.data.batches.batch import TextBatch
from flax_transformer.data.pixels_config import ImagesConfig
from flax_transformer.data.plain_text_config import PlainTextConfig
from flax_transformer.errors import UserError
from flax_transformer.experiment import Experiment
from flax_transformer.models import ZOO, DecoderOnlyConfig
from flax_transformer.tasks.classification.classification_config import ClassificationConfig
from flax_transformer.training.lora_config import LoraConfig
from flax_transformer.training.mesh_devices import MeshDevices
from flax_transformer.training.planning import suggested_meshes, training_plan
from flax_transformer.training.planning.collectives import Traffic, find_collectives, traffic
from flax_transformer.training.planning.largest_batch import largest_rows
from flax_transformer.training.planning.planned_training import PlannedTraining, plan_training
from flax_transformer.training.planning.suggested_meshes import (
    estimate,
    received,
    suggest_meshes,
)
from flax_transformer.training.planning.topology import GIB, Topology, find_topology
from flax_transformer.training.planning.training_plan import (
    CompiledStep,
    Memory,
    compile_step,
    make_plan,
    seconds_a_step,
)

# As XLA writes a program, shortened: a loop of 11 iterations with one of 8 in steps of 2 in it, a
# loop of which only the condition's result is known, and an all-gather in two pieces.
PROGRAM = """
HloModule jit_step, is_scheduled=true

%add (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  ROOT %sum = f32[] add(%x, %y)
}

%inner_condition (p.1: (bf16[5,7], u32[])) -> pred[] {
  %p.1 = (bf16[5,7]{1,0:T(8,128)}, u32[]) parameter(0)
  %limit = u32[]{:T(128)} constant(8)
  %counter = u32[]{:T(128)} get-tuple-element(%p.1), index=1
  ROOT %less = pred[] compare(%counter, %limit), direction=LT
}

%inner_body (p.2: (bf16[5,7], u32[])) -> (bf16[5,7], u32[]) {
  %p.2 = (bf16[5,7]{1,0:T(8,128)}, u32[]) parameter(0)
  %two = u32[]{:T(128)} constant(2)
  %array = bf16[5,7]{1,0:T(8,128)} get-tuple-element(%p.2), index=0
  %moving = (bf16[5,7]{1,0}, bf16[5,7]{1,0}, u32[]{:S(2)}, u32[]) collective-permute-start(%array)
  %moved = bf16[5,7]{1,0} collective-permute-done(%moving)
  %counter.2 = u32[]{:T(128)} get-tuple-element(%p.2), index=1
  %next = u32[]{:T(128)} add(%counter.2, %two)
  ROOT %result = (bf16[5,7]{1,0}, /*index=1*/u32[]) tuple(%moved, /*index=1*/%next)
}

%gathering (p.3: f32[3,2]) -> f32[3,4] {
  ROOT %gathered = f32[3,4]{1,0} all-gather(%p.3), dimensions={1}
}

%outer_body (p.4: (bf16[5,7], s32[])) -> (bf16[5,7], s32[]) {
  %loop.1 = (bf16[5,7], u32[]) while(%start), condition=%inner_condition, body=%inner_body
  %piece = s32[9] all-gather(%x), channel_id=3, frontend_attributes={chain_id="0"}
  %all = f32[3,4]{1,0} fusion(%part), kind=kCustom, calls=%gathering
}

%other_condition (p.5: (f32[2])) -> pred[] {
  ROOT %finished = pred[] fusion(%p.5), kind=kLoop, calls=%add
}

%other_body (p.6: (f32[2])) -> (f32[2]) {
  %exchanged = (f32[1], f32[1]) all-to-all(%a, %b), replica_groups={{0,1}}
}

ENTRY %main (a: f32[8]) -> f32[8] {
  %loop.2 = (s32[]) while(%a), body=%outer_body, backend_config={"known_trip_count":{"n":"11"}}
  %loop.3 = (f32[2]) while(%start), condition=%other_condition, body=%other_body
  %end = s32[9] all-gather(%x), channel_id=3, frontend_attributes={chain_id="0"}
  %both = (f32[8]{0}, pred[]) all-reduce(%a, %b), to_apply=%add
  %started = ((f32[8], s8[3]), (f32[16], s8[6])) all-gather-start(%a, %b), dimensions={0}
}
"""


def test_messages_are_counted_as_often_as_they_are_sent():
    found = {one.kind: one for one in find_collectives(PROGRAM) if one.in_loop}
    assert found["collective-permute"].times == 11 * 8 // 2
    assert found["all-gather"].times == 11
    assert traffic(find_collectives(PROGRAM)) == {
        ("collective-permute", True): Traffic(1, 11 * 4 * 2 * 5 * 7, 2 * 5 * 7),
        ("all-gather", True): Traffic(1, 11 * 4 * 3 * 4, 4 * 3 * 4),
        ("all-to-all", True): Traffic(1, None, 4 + 4),
        ("all-reduce", False): Traffic(1, 4 * 8 + 1, 4 * 8 + 1),
        ("all-gather", False): Traffic(2, 4 * 16 + 6 + 4 * 9, 4 * 16 + 6 + 4 * 9),
    }


def planned(**options):
    config = DecoderOnlyConfig(
        num_layers=2, d_model=128, d_ff=509, num_heads=4, positions="rotary", **options
    )
    task = language_modeling_task(config, vocab_size=307)
    tokens = jax.ShapeDtypeStruct((16, 24), np.int32)
    return PlannedTraining(task.experiment, task, TextBatch(tokens, tokens))  # pyright: ignore


def test_a_mean_gradient_in_bfloat16_is_counted():
    wide = planned()
    optimizer = dataclasses.replace(wide.experiment.optimizer, momentum_dtype="bfloat16")
    narrow = wide._replace(experiment=dataclasses.replace(wide.experiment, optimizer=optimizer))
    sizes = [
        sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(one.state().optimizer_state))
        for one in (wide, narrow)
    ]
    num_params = sum(x.size for x in jax.tree.leaves(wide.state().params))
    assert sizes[0] - sizes[1] == 2 * num_params


def test_operations_are_those_that_the_model_needs():
    """6 for each parameter and token: neither a loop nor what is computed twice changes them."""
    training = planned(remat="all", scan_layers=True)
    num_params = sum(x.size for x in jax.tree.leaves(training.state().params))
    flops = training.count_flops()
    assert flops == pytest.approx(6 * num_params * 16 * 23, rel=0.15)
    assert planned(residual_dropout_rate=0.0).count_flops() == flops


def test_the_largest_batch_is_that_of_the_data_if_they_are_read(tmp_path):
    experiment = make_experiment(tmp_path)
    allowed = plan_training(experiment, 8, 8, reads_data=False)
    assert not (tmp_path / "prepared").exists()
    # 512 target tokens are 21 rows of 24, which 8 devices fill to 24.
    assert {x.shape for x in allowed.batch} == {(24, 24)}
    assert allowed.task.tokenizer.vocab_size == 307
    read = plan_training(experiment, 8, 8, reads_data=True)
    (rows, length), source = read.batch.target.shape, read.batch.source.shape
    assert rows == -(-(512 // length) // 8) * 8
    encode = read.task.tokenizer.encode_batch
    # With the end mark.
    assert source == (rows, 1 + max(map(len, encode(SOURCES))))
    assert length == 1 + max(map(len, encode(TARGETS)))


def test_what_cannot_be_planned_is_refused(tmp_path):
    experiment = make_experiment(tmp_path)
    data = dataclasses.replace(experiment.data, vocab_size=2**21)
    with pytest.raises(UserError, match=r"--data.vocab-size 2097152 is too large to plan with"):
        plan_training(dataclasses.replace(experiment, data=data), 8, 8, reads_data=False)
    training = dataclasses.replace(experiment.training, lora=LoraConfig(rank=2))
    adapted = dataclasses.replace(experiment, training=training, init_from="run")
    with pytest.raises(UserError, match=r"--training.lora.rank 2: only trainings of all"):
        plan_training(adapted, 8, 8, reads_data=False)
    text = planned().experiment
    letters = dataclasses.replace(text, data=PlainTextConfig(tokens="characters"))
    with pytest.raises(UserError, match=r"--data.tokens characters: their number is only known"):
        plan_training(letters, 8, 8, reads_data=False)
    images = Experiment(ImagesConfig(), ZOO["ViT-B/16"].config, ClassificationConfig())
    with pytest.raises(UserError, match="image_classification takes its classes from the data"):
        plan_training(images, 8, 8, reads_data=False)


def test_meshes_are_ranked_by_what_a_device_needs():
    training, topology = planned(), find_topology("cpu:8")
    state = training.state()
    by_mesh = {
        (data, fsdp, tensor): estimate(
            training, state, topology, f"data={data},fsdp={fsdp},tensor={tensor}"
        )
        for data, fsdp, tensor in ((8, 1, 1), (1, 8, 1), (2, 2, 2), (1, 1, 8))
    }
    params = 4 * sum(x.size for x in jax.tree.leaves(state.params))
    # Parameters, two moments and the gradient.
    assert by_mesh[8, 1, 1].state == pytest.approx(4 * params, rel=1e-3)
    assert by_mesh[1, 8, 1].state < 1.1 / 8 * by_mesh[8, 1, 1].state
    assert by_mesh[8, 1, 1].messages == 2 * params
    assert by_mesh[1, 8, 1].messages == 3 * params
    # 2 rows of 24 tokens, 2 layers, 4 heads.
    kept = 2 * 2 * 24 * 128 * 2 * (34 + 5 * 4 * 24 / 128)
    assert by_mesh[8, 1, 1].activations == round(kept)
    assert by_mesh[1, 1, 8].messages == 4 * 2 * 4 * 16 * 24 * 128 * 2


def test_the_best_meshes_are_compiled(monkeypatch):
    compiled, said = [], []

    def step(training, topology, mesh):
        compiled.append(mesh)
        messages = {("all-reduce", False): Traffic(1, 100 - len(compiled), 1)}
        return CompiledStep(Memory(1, 1, 1), "", messages, 1.0)

    for module in (suggested_meshes, training_plan):
        monkeypatch.setattr(module, "compile_step", step)
    found = suggest_meshes(planned(), find_topology("cpu:8"), said.append)
    # 1, 2, 4, 8 on three axes.
    assert len(found.ranked) == 10
    assert compiled == [one.mesh for one in found.ranked[:3]]
    assert said[2] == f"compiling {compiled[2]} (3 of 3)"
    # The last one receives least.
    sizes = [",".join(f"{axis}={size}" for axis, size in plan.mesh.items()) for plan in found.plans]
    assert sizes == [f"{mesh},expert=1" for mesh in reversed(compiled)]
    assert received(found.plans[0]) == 2 * 97
    odd = planned().with_rows(13)
    adding = dataclasses.replace(odd.experiment.training, accumulate_steps=2)
    odd = odd._replace(experiment=dataclasses.replace(odd.experiment, training=adding))
    with pytest.raises(UserError, match="no mesh of 8 devices cuts a batch of 13 rows evenly"):
        suggest_meshes(odd, find_topology("cpu:8"), said.append)


@pytest.mark.parametrize(
    ("available", "most", "measured"),
    [
        (1000, 496, [16, 32, 496]),
        # 32 rows do not fit: 16 and 8 are compared.
        (50, 16, [16, 32, 8]),
        (31, 8, [16, 8]),
        (17, None, [16, 8]),
    ],
)
def test_the_most_rows_are_found_by_few_compilations(available, most, measured):
    seen = []

    def peak(rows):
        seen.append(rows)
        return 5.0 + 2 * rows

    assert largest_rows(peak, 16, 8, float(available)) == most
    assert seen == measured


def test_a_size_that_was_computed_is_lowered_until_it_fits():
    def peak(rows):
        return (1.0 if rows < 32 else 1.2) * rows

    most = largest_rows(peak, 8, 8, 100.0)
    assert most is not None
    assert 64 <= most <= 83
    assert peak(most) <= 100


def test_a_range_of_time_is_given_if_the_peak_is_known():
    topology = Topology("v5e:1x2", "TPU v5 lite", [None, None], 16 * GIB, 1e12)
    assert seconds_a_step(6e12, topology) == pytest.approx((5, 7.5))
    assert seconds_a_step(6e12, topology._replace(peak_flops=None)) is None


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "in memory space hbm. Used 22.47G of 15.75G hbm. Exceeded hbm capacity by 6.72G.\n\n",
            "needs 22.47G of 15.75G",
        ),
        (
            "on HBM, the total memory required for HLO temporaries (24.06G) exceeds available HBM "
            "(15.75G).",
            "temporary arrays need 24.06G of 15.75G",
        ),
        ("somewhere.", "Ran out of memory somewhere."),
    ],
)
def test_what_does_not_fit_is_reported_in_one_line(monkeypatch, said, reason):
    class TooLarge:
        def compile(self):
            message = f"RESOURCE_EXHAUSTED: Ran out of memory {said}"
            raise jax.errors.JaxRuntimeError(message)

    monkeypatch.setattr(MeshDevices, "lower", lambda *_: TooLarge())
    monkeypatch.setattr(PlannedTraining, "count_flops", lambda _: 1.0)
    plan = make_plan(planned(), find_topology("cpu:8"), "data=-1")
    assert not plan.fits
    assert plan.step.memory is None
    assert plan.step.reason == reason


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v5:4x4", "unknown --topology kind 'v5': did you mean 'v5"),
        ("v5e", "--topology v5e: give the chips along 2 axes, such as v5e:4x4"),
        ("v5e:2x2x2", "give the chips along 2 axes, such as v5e:4x4"),
        ("v5p:4x4", "give the chips along 3 axes, such as v5p:2x2x4"),
        ("v5e:0x4", "give the chips along 2 axes"),
        ("cpu:two", "--topology cpu:two: give the number of devices, such as cpu:8"),
        ("cpu:97", "this process has 8 simulated devices: begin it with XLA_FLAGS=--xla_force"),
    ],
)
def test_a_topology_that_does_not_exist_is_refused(name, message):
    with pytest.raises(UserError, match=message):
        find_topology(name)


def test_a_mesh_without_a_place_among_the_chips_is_refused(monkeypatch):
    def fail(*_, **__):
        raise NotImplementedError("Failed to find assignment for logical_axis_index 2 of size 32")

    monkeypatch.setattr(jax, "make_mesh", fail)
    with pytest.raises(UserError, match="cpu:8 has no place for the mesh fsdp=8: make each size"):
        find_topology("cpu:8").mesh("fsdp=8")
    with pytest.raises(UserError, match="no mesh of 8 devices cuts a batch of 16 rows"):
        suggest_meshes(planned(), find_topology("cpu:8"), print)


def test_without_libtpu_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"v5e:4x4 needs libtpu.*pip install '.*\[plan\]'$"):
        find_topology("v5e:4x4")


def test_a_step_is_compiled_for_tpus_that_this_machine_lacks():
    pytest.importorskip("libtpu", reason="libtpu is not installed: pip install '.[plan]'")
    with pytest.raises(UserError, match=r"--topology v5e:3x5 is refused .*: give other sizes"):
        find_topology("v5e:3x5")
    topology = find_topology("v5e:2x2")
    assert (len(topology.devices), topology.memory) == (4, 16 * GIB)
    step = compile_step(planned(scan_layers=True), topology, "fsdp=4")
    assert step.memory is not None
    whole = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(planned().state()))
    assert whole / 4 < step.memory.arguments < whole / 2
    assert step.memory.arguments < step.memory.peak < 100 * whole
    assert any(in_loop for _, in_loop in step.traffic)
