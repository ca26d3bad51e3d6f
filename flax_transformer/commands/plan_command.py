"""`flax-transformer plan`."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from rich.console import Console

from flax_transformer.commands.train_command import OfExperiment
from flax_transformer.console import explain, show_table
from flax_transformer.errors import UserError
from flax_transformer.training.mesh_shape import mesh_sizes
from flax_transformer.training.planning.largest_batch import largest_batch
from flax_transformer.training.planning.planned_training import (
    READ_DATA,
    PlannedTraining,
    plan_training,
)
from flax_transformer.training.planning.suggested_meshes import Suggestion, received, suggest_meshes
from flax_transformer.training.planning.topology import (
    Topology,
    find_topology,
    start_no_accelerator,
)
from flax_transformer.training.planning.training_plan import EFFICIENCIES, Plan, make_plan
from flax_transformer.whole_files import written_whole

STANDARD_OUTPUT = Path("-")
MANY_MESHES = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanTraining(OfExperiment):
    """Show what a training needs on other devices: memory, operations, messages.

    The step is compiled for the devices, but nothing is trained and no device is needed.
    """

    topology: str = "cpu:8"
    """Devices: a slice of TPUs by its kind (v4, v5e, v5p, v6e) and the chips along its axes, such
    as v5e:4x4 or v5p:2x2x4, which needs the extra `plan`; or simulated ones, such as cpu:8."""
    mesh: str | None = None
    """Sizes of the mesh's axes, such as data=-1,fsdp=4; by default --training.mesh, or all devices
    as data."""
    read_data: bool = False
    """Read the data, and take the vocabulary and the largest batch from them. By default nothing is
    read: the vocabulary and the lengths are the largest that --data options allow."""
    largest_batch: bool = False
    """Also find the most rows of a batch that fit, by compiling three or more sizes."""
    suggest: bool = False
    """Choose the mesh: rank all by a formula, compile the best three, and plan with the best."""
    json: Path | None = None
    """Also write the plan to this file as JSON; - prints only JSON."""

    def run(self) -> None:
        """Prints the plan."""
        start_no_accelerator()
        topology = find_topology(self.topology)
        choose = self._suggested if self.suggest else self._planned
        planned, suggestion = choose(topology)
        plan = suggestion.plans[0]
        if self.largest_batch:
            mesh = ",".join(f"{axis}={size}" for axis, size in plan.mesh.items())
            most = largest_batch(planned, topology, mesh, plan.step, _report)
            plan = dataclasses.replace(plan, most_rows=most)
        self._print(plan, suggestion)

    def _planned(self, topology: Topology) -> tuple[PlannedTraining, Suggestion]:
        number = len(topology.devices)
        if self.mesh is not None:
            mesh_sizes(self.mesh, number, "--mesh")
        mesh = self.mesh or self.experiment.training.mesh or "data=-1"
        sizes = mesh_sizes(mesh, number)
        planned = self._training(number, sizes["data"] * sizes["fsdp"])
        _report("compiling the step: this can take minutes")
        return planned, Suggestion([], [make_plan(planned, topology, mesh)])

    def _suggested(self, topology: Topology) -> tuple[PlannedTraining, Suggestion]:
        if self.mesh is not None:
            raise UserError(f"--suggest chooses the mesh: leave --mesh {self.mesh} out")
        number = len(topology.devices)
        try:
            # So many rows that every mesh cuts them evenly.
            planned = self._training(number, number)
        except UserError:
            planned = self._training(number, 1)
        return planned, suggest_meshes(planned, topology, _report)

    def _training(self, num_devices: int, num_shares: int) -> PlannedTraining:
        return plan_training(self.experiment, num_devices, num_shares, reads_data=self.read_data)

    def _print(self, plan: Plan, suggestion: Suggestion) -> None:
        plain = plan.to_json()
        if suggestion.ranked:
            plain["suggested"] = [one._asdict() for one in suggestion.ranked]
        if self.json == STANDARD_OUTPUT:
            print(json.dumps(plain, indent=2))
            return
        console = Console()
        if suggestion.ranked:
            _show_ranked(suggestion, console)
        _show_plan(plan, console)
        if not self.read_data:
            note = "vocabulary and lengths are the largest that --data options allow"
            explain(console, f"{note}: {READ_DATA} takes them from the data")
        if self.json is not None:
            with written_whole(self.json) as file:
                file.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")


def _report(line: str) -> None:
    explain(Console(stderr=True), line)


def _show_plan(plan: Plan, console: Console) -> None:
    mesh = ", ".join(f"{axis} {size}" for axis, size in plan.mesh.items() if size > 1)
    title = f"a step on {plan.topology}, {plan.num_devices} {plan.device} device(s)"
    rows = {
        "mesh": mesh or "one device",
        "parameters": f"{plan.parameters:,}",
        "largest batch": _batch(plan),
        "operations": f"{plan.flops:.3g} FLOPs a step, over all devices",
        "time": _time(plan),
        **_memory(plan),
    }
    if plan.most_rows is not None:
        rows["largest batch that fits"] = f"{plan.most_rows:,} rows"
    show_table(console, title, {name: {"value": value} for name, value in rows.items()})
    if plan.step.traffic:
        show_table(
            console, "what devices send to each other: results on one device", _traffic(plan)
        )


def _show_ranked(suggestion: Suggestion, console: Console) -> None:
    compiled = {tuple(plan.mesh.values()): plan for plan in suggestion.plans}
    rows = {}
    for one in suggestion.ranked[:MANY_MESHES]:
        plan = compiled.get(tuple(mesh_sizes(one.mesh, suggestion.plans[0].num_devices).values()))
        rows[one.mesh] = {
            "state": _bytes(one.state),
            "activations": _bytes(one.activations),
            "received": _bytes(one.messages),
            "compiled: peak": _peak(plan) if plan else "",
            "compiled: received": _received(plan) if plan else "",
        }
    number = len(suggestion.ranked)
    title = f"{len(rows)} of {number} meshes, ranked by a formula: bytes on a device in a step"
    show_table(console, title, rows)


def _peak(plan: Plan) -> str:
    memory = plan.step.memory
    return _bytes(memory.peak) if memory and plan.fits else "does not fit"


def _received(plan: Plan) -> str:
    total = received(plan)
    return _bytes(int(total)) if plan.fits and math.isfinite(total) else ""


def _batch(plan: Plan) -> str:
    # Segments only tell tokens from padding.
    shown = {name: shape for name, shape in plan.batch.items() if "segments" not in name}
    return ", ".join(f"{name} {' x '.join(map(str, shape))}" for name, shape in shown.items())


def _time(plan: Plan) -> str:
    if plan.seconds is None:
        return "not predicted: the peak of a CPU is not known"
    fastest, slowest = plan.seconds
    low, high = min(EFFICIENCIES), max(EFFICIENCIES)
    return f"{fastest:.3g} to {slowest:.3g} s, assuming {high:.0%} to {low:.0%} of the peak FLOPs"


def _memory(plan: Plan) -> dict[str, str]:
    memory, available = plan.step.memory, _bytes(plan.device_memory)
    if memory is None:
        return {"memory of a device": f"does not fit: {plan.step.reason}"}
    fits = "fits in" if plan.fits else "does not fit in"
    return {
        "arguments": f"{_bytes(memory.arguments)} a device",
        "temporary": f"{_bytes(memory.temporary)} a device",
        "peak": f"{_bytes(memory.peak)} a device: {fits} {available}",
    }


def _traffic(plan: Plan) -> dict[str, dict[str, Any]]:
    return {
        f"{kind}{', in loops' if in_loop else ''}": {
            "number": found.operations,
            "bytes": f"{_bytes(found.bytes_once)} each iteration"
            if found.bytes_a_step is None
            else f"{_bytes(found.bytes_a_step)} a step",
        }
        for (kind, in_loop), found in sorted(plan.step.traffic.items())
    }


def _bytes(number: int) -> str:
    """Formats a number of bytes.

    Example:
        >>> _bytes(1_770_000_000), _bytes(53_248), _bytes(12)
        ('1.77 GB', '53.2 kB', '12 bytes')
    """
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= size:
            return (
                f"{number / size:.3g} {unit}"
                if number < 1000 * size
                else f"{number / size:,.0f} {unit}"
            )
    return f"{number} bytes"
