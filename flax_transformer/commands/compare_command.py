"""`flax-transformer compare`."""

import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from tyro.conf import Positional

from flax_transformer.commands.plot_command import read_runs
from flax_transformer.console import explain, say, show_table
from flax_transformer.errors import UserError, check_options
from flax_transformer.evaluation.metric import shown
from flax_transformer.training.assemble import Weights
from flax_transformer.training.checkpoints.settings import setting_option
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.comparison import ChangedExample, Comparison, compare
from flax_transformer.visualization.curves import plot_curves
from flax_transformer.visualization.pictures import check_picture_path, save_picture
from flax_transformer.visualization.visible_text import arrow_title, isolated, visible_token


@dataclasses.dataclass(frozen=True)
class Compare:
    """Compare two trainings: settings, scores with their significance, changed outputs, curves."""

    workdirs: Positional[tuple[Path, ...]]
    """Folders of two trainings of the same task."""
    split: str | None = None
    """Split to score; by default the held-out split of the first training."""
    weights: Weights = "average"
    """Weights of both: the mean of the last checkpoints, the checkpoint with the best validation
    score, or the last one."""
    num_examples: int = 5
    """Number of examples to show whose outputs changed most."""
    out: Path | None = None
    """Picture of the training curves of both to write."""
    json: bool = False
    """Print JSON."""

    def run(self) -> None:
        """Prints the differences, and draws the curves."""
        if len(self.workdirs) != 2:
            raise UserError(f"{len(self.workdirs)} workdirs to compare: give two")
        check_options(self, "num_examples", lowest=0)
        if self.out is not None:
            check_picture_path(self.out, "--out")
            runs = read_runs(self.workdirs)
        first, second = self.workdirs
        found = compare((first, second), self.split, self.weights, sys.argv)
        if self.out is not None:
            score = Workdir(first).load().training.score
            save_picture(plot_curves(runs, score), self.out)
        if self.json:
            print(json.dumps(self._to_json(found), indent=2, ensure_ascii=False))
            return
        console = Console()
        _show_settings(console, found)
        _show_scores(console, found)
        _show_examples(console, found, self.num_examples)
        if self.out is not None:
            say(console, f"drawn in {self.out}")

    def _to_json(self, found: Comparison) -> dict[str, Any]:
        fields = found._asdict()
        evaluations = fields.pop("evaluations")
        return fields | {
            "workdirs": list(map(str, self.workdirs)),
            "num_changed": len(found.examples),
            "examples": [one._asdict() for one in found.examples[: self.num_examples]],
            "tested": {name: one._asdict() for name, one in found.tested.items()},
            "records": [evaluation.record for evaluation in evaluations],
        }


def _show_settings(console: Console, found: Comparison) -> None:
    say(console, "settings that differ" if found.settings else "all settings are the same")
    for name, values in found.settings.items():
        # A part of another kind may lack the setting.
        first, second = ("none" if value is None else value for value in values)
        say(console, f"  {setting_option(name)}: {first} -> {second}")


def _show_scores(console: Console, found: Comparison) -> None:
    records = [evaluation.record for evaluation in found.evaluations]
    rows = {}
    for name in records[0]["scores"]:
        if name in records[1]["scores"]:
            rows[name] = _row(found, name, [record["scores"][name]["value"] for record in records])
    say(console, "")
    steps = " and ".join(f"{record['checkpoint_step']:,}" for record in records)
    show_table(console, f"scores on {found.split}, checkpoints up to step {steps}", rows)
    for name, test in found.tested.items():
        explain(console, f"{name}: {test.test}")
    if found.untested:
        explain(console, f"significance is not computed: {found.untested}")


def _row(found: Comparison, name: str, values: list[float | None]) -> dict[str, str]:
    """The cells of a score; JSON has null for an infinite one."""
    test = found.tested.get(name)
    first, second = (math.inf if value is None else value for value in values)
    if test is not None:
        first, second = test.first, test.second
    difference = second - first
    is_known = math.isfinite(difference)
    return {
        "first": shown(name, first),
        "second": shown(name, second),
        "difference": f"{'+' * (difference > 0)}{shown(name, difference)}" if is_known else "",
        "p": "" if test is None else f"{test.p_value:.3g}",
    }


def _show_examples(console: Console, found: Comparison, number: int) -> None:
    if found.untested:
        return
    say(console, "")
    if not found.examples:
        say(console, "all outputs are the same")
        return
    say(console, f"outputs that differ: {len(found.examples):,}; those that changed most")
    for one in found.examples[:number]:
        for line in _lines(one):
            say(console, line)


def _lines(one: ChangedExample) -> list[str]:
    right = " | ".join(map(visible_token, one.right))
    title = arrow_title(visible_token(one.source), right) if one.source else right
    return [
        f"  {one.number:,}: {title}",
        *(
            f"      {name} {quality:6.2f}  {isolated(visible_token(output))}"
            for name, quality, output in zip(
                ("first ", "second"), one.quality, one.outputs, strict=True
            )
        ),
    ]
