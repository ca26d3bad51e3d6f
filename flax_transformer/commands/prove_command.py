"""`flax-transformer prove`."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
from matplotlib.figure import Figure
from rich.console import Console

from flax_transformer.commands.trained_model import OfWorkdir
from flax_transformer.console import explain, say, show_table
from flax_transformer.data.files.reading_progress import show_progress
from flax_transformer.errors import check_number
from flax_transformer.inspection.proof_findings import (
    LEAST_LENGTH,
    Finding,
    Plan,
    examine,
    make_plan,
    worst,
)
from flax_transformer.inspection.proof_inputs import ROWS, Subject, make_subject
from flax_transformer.inspection.proofs import find_proof
from flax_transformer.training.assemble import TrainedRun, open_run
from flax_transformer.training.ways_of_use import ways_of_use
from flax_transformer.visualization.pictures import check_picture_path, save_picture
from flax_transformer.visualization.proof_picture import plot_proofs

# (proof, length) -> a finding for each comparison.
Found = dict[tuple[str, int | None], list[Finding]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prove(OfWorkdir):
    """Prove that a trained model computes the same in every way in which the library computes it.

    Cached decoding, packed rows, padding, moved beams, scanned layers, devices and kernels must
    give the same as the plain pass, on these weights. Where they do not, the first activation that
    differs is named. The exit code is 1 if anything differs.
    """

    length: int | None = None
    """Tokens of a row; by default --data.max-length of the training. Rows twice and four times as
    long follow."""
    seed: int = 0
    """Seed of the inputs, which are drawn at random: no data are read."""
    json: bool = False
    """Print the findings as JSON."""
    out: Path = Path("prove.png")
    """Picture to write: every proof at every length."""

    def run(self) -> None:
        """Prints a table of the findings, and draws it."""
        if self.length is not None:
            check_number("--length", self.length, LEAST_LENGTH)
        check_picture_path(self.out, "--out")
        run = open_run(self.workdir, self.weights)
        subject = _subject_of(run)
        plan = make_plan(subject, self.length or _length_of(run, subject))
        found = {
            item: examine(subject, *item, self.seed)
            for item in show_progress("proofs", plan.items())
        }
        findings = [finding for several in found.values() for finding in several]
        if self.json:
            print(json.dumps(self._record(run, plan, findings), indent=2))
        else:
            _show(run, plan, found)
        save_picture(_draw(found), self.out)
        say(Console(stderr=self.json), f"drawn in {self.out}")
        if not all(finding.verdict.is_equal for finding in findings):
            raise SystemExit(1)

    def _record(self, run: TrainedRun, plan: Plan, findings: list[Finding]) -> dict[str, Any]:
        return {
            "workdir": str(self.workdir),
            "checkpoint_steps": run.steps,
            "trained_in": run.experiment.model.dtype,
            "computed_in": "float32",
            "devices": [device.device_kind for device in jax.local_devices()],
            "seed": self.seed,
            "is_proven": all(finding.verdict.is_equal for finding in findings),
            "not_applicable": plan.not_applicable,
            "lengths_left_out": {str(length): plan.reason for length in plan.left_out},
            "findings": [finding.to_json() for finding in findings],
        }


def _subject_of(run: TrainedRun) -> Subject:
    """The trained model, as it is examined."""
    method = getattr(run.task, "method", "__call__")
    subject = make_subject(run.task.model, run.variables, method)
    return subject._replace(ways=ways_of_use(ROWS))


def _length_of(run: TrainedRun, subject: Subject) -> int:
    """The length of the training's rows, in tokens; pixels have none."""
    length = max(getattr(run.experiment.data, "max_length", 0), LEAST_LENGTH)
    return length if subject.limit is None else min(length, subject.limit)


def _show(run: TrainedRun, plan: Plan, found: Found) -> None:
    console = Console()
    rows = {}
    for (proof, length), findings in found.items():
        at = "" if length is None else f", {length:,} tokens"
        result = worst(findings).describe()
        rows[f"{proof}{at}"] = {"claim": find_proof(proof).claim, "result": result}
    number, kind = jax.local_device_count(), jax.local_devices()[0].platform
    title = f"in float32 on {number} {kind} device(s), relative to the largest value"
    show_table(console, title, rows)
    for proof, reason in plan.not_applicable.items():
        explain(console, f"{proof}: not applicable, {reason}")
    if plan.left_out:
        lengths = " and ".join(f"{length:,}" for length in plan.left_out)
        explain(console, f"rows of {lengths} tokens: left out, {plan.reason}")
    if (trained_in := run.experiment.model.dtype) != "float32":
        explain(console, f"the training computed in {trained_in}, whose rounding is not examined")
    verdicts = [finding.verdict for findings in found.values() for finding in findings]
    differ = sum(not verdict.is_equal for verdict in verdicts)
    explain(
        console,
        f"{differ} of {len(verdicts)} comparisons differ"
        if differ
        else f"all {len(verdicts)} comparisons are equal: garbled output has another cause",
    )


def _draw(found: Found) -> Figure:
    differences: dict[str, dict[str, float]] = {}
    for (proof, length), findings in found.items():
        column = "own size" if length is None else f"{length:,} tokens"
        differences.setdefault(proof, {})[column] = worst(findings).verdict.difference
    return plot_proofs(differences)
