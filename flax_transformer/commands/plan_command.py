"""`flax-transformer plan`."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from flax_transformer.commands.train_command import OfExperiment
from flax_transformer.console import explain, show_table
from flax_transformer.training.mesh_shape import mesh_sizes
from flax_transformer.training.planning.largest_batch import largest_batch
from flax_transformer.training.planning.planned_training import READ_DATA, plan_training
from flax_transformer.training.planning.topology import find_topology, start_no_accelerator
from flax_transformer.training.planning.training_plan import EFFICIENCIES, Plan, make_plan
from flax_transformer.whole_files import written_whole

STANDARD_OUTPUT = Path("-")


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
    json: Path | None = None
    """Also write the plan to this file as JSON; - prints only JSON."""

    def run(self) -> None:
        """Prints the plan."""
        start_no_accelerator()
        topology = find_topology(self.topology)
        mesh, rows_multiple = self._mesh(len(topology.devices))
        planned = plan_training(
            self.experiment, len(topology.devices), rows_multiple, reads_data=self.read_data
        )
        _report("compiling the step: this can take minutes")
        plan = make_plan(planned, topology, mesh)
        if self.largest_batch:
            most = largest_batch(planned, topology, mesh, plan.step, _report)
            plan = dataclasses.replace(plan, most_rows=most)
        if self.json == STANDARD_OUTPUT:
            print(json.dumps(plan.to_json(), indent=2))
            return
        _show(plan, Console())
        if not self.read_data:
            note = "vocabulary and lengths are the largest that --data options allow"
            explain(Console(), f"{note}: {READ_DATA} takes them from the data")
        if self.json is not None:
            with written_whole(self.json) as file:
                file.write_text(json.dumps(plan.to_json(), indent=2) + "\n", encoding="utf-8")

    def _mesh(self, num_devices: int) -> tuple[str, int]:
        """Returns the mesh, and the number of parts into which it cuts the rows."""
        if self.mesh is not None:
            mesh_sizes(self.mesh, num_devices, "--mesh")
        mesh = self.mesh or self.experiment.training.mesh or "data=-1"
        sizes = mesh_sizes(mesh, num_devices)
        return mesh, sizes["data"] * sizes["fsdp"]


def _report(line: str) -> None:
    explain(Console(stderr=True), line)


def _show(plan: Plan, console: Console) -> None:
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
