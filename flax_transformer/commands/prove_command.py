"""`flax-transformer prove`."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from flax_transformer.commands.trained_model import OfWorkdir
from flax_transformer.console import explain, say, show_table
from flax_transformer.data.files.reading_progress import show_progress
from flax_transformer.errors import check_number
from flax_transformer.inspection.proof_findings import (
    LEAST_LENGTH,
    Finding,
    examine,
    make_plan,
    worst,
)
from flax_transformer.inspection.proof_inputs import ROWS, Subject, make_subject
from flax_transformer.inspection.proofs import PROOFS
from flax_transformer.training.assemble import TrainedRun, open_run
from flax_transformer.training.ways_of_use import ways_of_use
from flax_transformer.visualization.pictures import check_picture_path, save_picture
from flax_transformer.visualization.proof_picture import plot_proofs


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
        length = self.length or max(getattr(run.experiment.data, "max_length", 0), LEAST_LENGTH)
        plan = make_plan(subject, length)
        found = {
            place: examine(subject, *place, self.seed) for place in show_progress("proofs", plan)
        }
        is_proven = all(
            finding.verdict is None or finding.verdict.is_equal
            for findings in found.values()
            for finding in findings
        )
        if self.json:
            print(json.dumps(self._record(run, found, is_proven), indent=2))
        else:
            _show(run, found)
        save_picture(_draw(found), self.out)
        say(Console(stderr=self.json), f"drawn in {self.out}")
        if not is_proven:
            raise SystemExit(1)

    def _record(self, run: TrainedRun, found: Any, is_proven: bool) -> dict[str, Any]:
        return {
            "workdir": str(self.workdir),
            "checkpoint_steps": run.steps,
            "trained_in": run.experiment.model.dtype,
            "computed_in": "float32",
            "devices": [device.device_kind for device in jax.local_devices()],
            "seed": self.seed,
            "is_proven": is_proven,
            "findings": [finding.to_json() for several in found.values() for finding in several],
        }


def _subject_of(run: TrainedRun) -> Subject:
    """The trained model, as it is examined."""
    method = getattr(run.task, "method", "__call__")
    subject = make_subject(run.task.model, run.variables, method)
    return subject._replace(ways=ways_of_use(ROWS))


def _show(run: TrainedRun, found: dict[tuple[str, int | None], list[Finding]]) -> None:
    console, trained_in = Console(), run.experiment.model.dtype
    rows = {}
    for (proof, length), findings in found.items():
        at = "" if length is None else f", {length:,} tokens"
        rows[f"{proof}{at}"] = {
            "claim": PROOFS[proof].claim,
            "result": worst(findings).describe(),
        }
    note = "" if trained_in == "float32" else f" (trained in {trained_in})"
    show_table(console, f"in float32{note}, relative to the largest value", rows)
    all_findings = [finding for findings in found.values() for finding in findings]
    differ = [f for f in all_findings if f.verdict is not None and not f.verdict.is_equal]
    number = sum(finding.verdict is not None for finding in all_findings)
    explain(
        console,
        f"{len(differ)} of {number} comparisons differ: see docs/guides/garbled_output.md"
        if differ
        else f"all {number} comparisons are equal: garbled output has another cause",
    )


def _draw(found: dict[tuple[str, int | None], list[Finding]]) -> Any:
    differences: dict[str, dict[str, float]] = {}
    for (proof, length), findings in found.items():
        verdict = worst(findings).verdict
        column = "own size" if length is None else f"{length:,} tokens"
        if verdict is not None:
            differences.setdefault(proof, {})[column] = verdict.difference
    return plot_proofs(differences)
