"""The command `plan`, on simulated devices."""

import dataclasses
import json
import re

import pytest
from command_line import assert_is_error
from small import MODEL

from flax_transformer.commands import plan_command
from flax_transformer.models.zoo import count_parameters
from flax_transformer.training.mesh_shape import mesh_sizes
from flax_transformer.training.planning.collectives import Traffic
from flax_transformer.training.planning.suggested_meshes import Estimate, Suggestion
from flax_transformer.training.planning.training_plan import CompiledStep, Memory, Plan

PLAN = ("plan", "small.py", "--topology", "cpu:8")


def test_a_plan_is_a_table_and_json(run, folder):
    result = run(*PLAN, "--mesh", "fsdp=4,data=-1", "--json", "plan.json")
    assert result.code == 0, result.err
    plan = json.loads((folder / "plan.json").read_text())
    assert plan["mesh"] == {"data": 2, "fsdp": 4, "tensor": 1, "expert": 1}
    assert plan["parameters"] == count_parameters(MODEL, 307)
    # 512 target tokens are 21 rows of 24, which 8 devices fill to 24.
    assert plan["batch"]["target"] == [24, 24]
    memory = plan["step"]["memory"]
    assert 0 < memory["arguments"] < memory["peak"] < plan["device_memory"]
    assert plan["fits"] is True
    assert plan["seconds"] is None
    assert {"all-gather", "all-reduce"} <= {one["kind"] for one in plan["collectives"]}
    for shown in (f"{plan['parameters']:,}", "24 x 24", "fits in", "all-gather", "--read-data"):
        assert shown in result.out
    assert not (folder / "prepared").exists()


def made(monkeypatch, **changes):
    """Replaces the plan that the command makes."""
    traffic = {("all-gather", True): Traffic(3, None, 70_000)}
    step = CompiledStep(Memory(10**9, 10**8, 1_770_000_000), "", traffic, 1.0)
    plan = Plan(
        topology="v5e:4x4",
        device="TPU v5 lite",
        num_devices=16,
        mesh=mesh_sizes("fsdp=16", 16),
        parameters=97,
        batch={"tokens": (32, 1025), "segments": (32, 1025)},
        flops=6e12,
        seconds=(5.0, 7.5),
        device_memory=1_700_000_000,
        step=step,
    )
    plan = dataclasses.replace(plan, **changes)
    monkeypatch.setattr(plan_command, "make_plan", lambda *_: plan)
    return plan


def test_json_alone_may_be_printed(run, monkeypatch):
    made(monkeypatch)
    plan = json.loads(run(*PLAN, "--json", "-").out)
    assert plan["collectives"] == [
        {
            "kind": "all-gather",
            "in_loop": True,
            "operations": 3,
            "bytes_a_step": None,
            "bytes_once": 70_000,
        }
    ]
    assert plan["fits"] is False


def test_what_is_not_known_is_not_shown_as_a_number(run, monkeypatch):
    step = made(monkeypatch).step
    shown = run(*PLAN).out
    assert "5 to 7.5 s, assuming 60% to 40% of the peak" in shown
    assert "1.77 GB a device: does not fit in 1.7 GB" in shown
    assert "70 kB each iteration" in shown
    reason = "needs 22.47G of 15.75G"
    none = dataclasses.replace(step, memory=None, reason=reason, traffic={})
    made(monkeypatch, seconds=None, step=none)
    shown = run(*PLAN).out
    assert "not predicted" in shown
    assert f"does not fit: {reason}" in shown


def test_the_largest_batch_that_fits_is_shown_if_asked_for(run, monkeypatch):
    made(monkeypatch)
    monkeypatch.setattr(plan_command, "largest_batch", lambda *_: 496)
    assert re.search(r"largest batch that fits .* 496 rows", run(*PLAN, "--largest-batch").out)
    assert json.loads(run(*PLAN, "--largest-batch", "--json", "-").out)["most_rows"] == 496
    assert "that fits" not in run(*PLAN).out


def test_suggested_meshes_are_a_table(run, monkeypatch):
    plan = made(monkeypatch)
    fitting = dataclasses.replace(
        plan, mesh=mesh_sizes("data=2,fsdp=8", 16), device_memory=2 * 10**9
    )
    plans = [plan, fitting]
    ranked = [Estimate(f"data={2**n},fsdp={16 // 2**n}", 7_000, 11_000, 13_000) for n in range(5)]
    monkeypatch.setattr(plan_command, "suggest_meshes", lambda *_: Suggestion(ranked, plans))
    shown = run(*PLAN, "--suggest").out
    assert re.search(r"data=1,fsdp=16 .* 7 kB .* 11 kB .* 13 kB .* does not fit", shown)
    assert re.search(r"data=2,fsdp=8 .* 1.77 GB", shown)
    printed = json.loads(run(*PLAN, "--suggest", "--json", "-").out)
    assert [one["mesh"] for one in printed["suggested"]] == [one.mesh for one in ranked]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--mesh", "fsdp=3"), "--mesh fsdp=3 needs 3 devices, but there are 8"),
        (("--mesh", "dta=8"), "unknown --mesh 'dta': did you mean 'data'"),
        (("--training.mesh", "fsdp=3"), "--training.mesh fsdp=3 needs 3 devices"),
        (("--suggest", "--mesh", "fsdp=8"), "--suggest chooses the mesh: leave --mesh fsdp=8 out"),
        (("--topology", "v6:2x2"), "unknown --topology kind 'v6': did you mean 'v6e'"),
    ],
)
def test_mistakes_are_reported_in_one_line(run, options, message):
    assert_is_error(run(*PLAN, *options), message)
