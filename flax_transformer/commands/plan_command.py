"""`flax-transformer plan`."""

import dataclasses
import json
from pathlib import Path

from rich.console import Console

from flax_transformer.commands.plan_tables import show_plan, show_ranked
from flax_transformer.commands.train_command import OfExperiment
from flax_transformer.console import explain
from flax_transformer.errors import UserError
from flax_transformer.training.mesh_shape import mesh_sizes
from flax_transformer.training.planning.largest_batch import largest_batch
from flax_transformer.training.planning.planned_training import (
    READ_DATA,
    PlannedTraining,
    plan_training,
)
from flax_transformer.training.planning.suggested_meshes import Suggestion, suggest_meshes
from flax_transformer.training.planning.topology import (
    Topology,
    find_topology,
    start_no_accelerator,
)
from flax_transformer.training.planning.training_plan import Plan, make_plan
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

    def _training(self, num_devices: int, rows_multiple: int) -> PlannedTraining:
        return plan_training(self.experiment, num_devices, rows_multiple, reads_data=self.read_data)

    def _print(self, plan: Plan, suggestion: Suggestion) -> None:
        plain = plan.to_json()
        if suggestion.ranked:
            plain["suggested"] = [one._asdict() for one in suggestion.ranked]
        if self.json == STANDARD_OUTPUT:
            print(json.dumps(plain, indent=2))
            return
        console = Console()
        if suggestion.ranked:
            show_ranked(suggestion, console)
        show_plan(plan, console)
        if not self.read_data:
            note = "vocabulary and lengths are the largest that --data options allow"
            explain(console, f"{note}: {READ_DATA} takes them from the data")
        if self.json is not None:
            with written_whole(self.json) as file:
                file.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")


def _report(line: str) -> None:
    explain(Console(stderr=True), line)
