"""`flax-transformer ablate`."""

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.progress import track

from flax_transformer.commands.inspected_model import InspectedModel
from flax_transformer.commands.trained_model import OfWorkdir
from flax_transformer.console import say, show_table
from flax_transformer.errors import unknown
from flax_transformer.evaluation.metric import is_less_better, shown
from flax_transformer.tasks.ablation import Ablation, Part, by_kind, mean_outputs
from flax_transformer.visualization.ablation_picture import plot_ablation
from flax_transformer.visualization.pictures import check_picture_path, save_picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ablate(OfWorkdir):
    """Score a model without each of its heads, feed-forward networks and layers.

    The output of a head is replaced by zeros before the output projection. A layer is left out of
    the model. The table begins with the part whose loss is worst for the score.
    """

    split: str | None = None
    """Split to score; by default the validation split."""
    score: str | None = None
    """Score to compare: one that needs no search for outputs; by default the loss."""
    mean: bool = False
    """Replace outputs by their mean over the split instead of by zeros."""
    top: int | None = None
    """Number of rows of the table; by default all."""
    out: Path | None = None
    """Picture to write: a grid of layers and heads for each kind of part."""
    json: bool = False
    """Print JSON."""

    def run(self) -> None:
        """Prints the table, and draws the picture."""
        if self.out is not None:
            check_picture_path(self.out, "--out")
        opened = InspectedModel.open(self.workdir, self.weights)
        split = self.split or str(opened.experiment.data.validation_split)
        ablation = self._ablation(opened, split)
        whole = ablation.scores()
        score = self._chosen(whole)
        effects = {
            part: values[score] - whole[score] for part, values in self._all(ablation, opened)
        }
        if self.out is not None:
            save_picture(plot_ablation(by_kind(effects), score), self.out)
        sign = 1 if is_less_better(score) else -1
        ranked = sorted(effects.items(), key=lambda item: -sign * item[1])
        if self.json:
            self._print_json(split, score, whole[score], ranked, opened)
        else:
            self._print_table(split, score, whole[score], ranked)

    def _ablation(self, opened: InspectedModel, split: str) -> Ablation:
        means = mean_outputs(opened.task, opened.variables, split) if self.mean else None
        return Ablation(opened.task, opened.variables, split, means)

    def _chosen(self, whole: Mapping[str, float]) -> str:
        if self.score is None:
            return "loss" if "loss" in whole else next(iter(whole))
        if self.score not in whole:
            raise unknown("--score", self.score, whole)
        return self.score

    def _all(
        self, ablation: Ablation, opened: InspectedModel
    ) -> Iterator[tuple[Part, Mapping[str, float]]]:
        """Yields the scores without each part, and shows the progress."""
        parts = ablation.parts()
        console = Console(stderr=True)
        for part in track(parts, "parts", console=console, disable=not console.is_terminal):
            yield part, ablation.without(part)
        yield from ablation.without_layers(opened.open_task)

    def _print_table(
        self, split: str, score: str, whole: float, ranked: list[tuple[Part, float]]
    ) -> None:
        rows = {
            str(part): {score: shown(score, whole + effect), "change": f"{effect:+.4f}"}
            for part, effect in ranked[: self.top]
        }
        how = "replaced by its mean" if self.mean else "taken away"
        title = f"{split}: {score} {shown(score, whole)}; with one part {how}, worst first"
        console = Console()
        show_table(console, title, rows)
        if self.out is not None:
            say(console, f"drawn in {self.out}")

    def _print_json(
        self,
        split: str,
        score: str,
        whole: float,
        ranked: list[tuple[Part, float]],
        opened: InspectedModel,
    ) -> None:
        record: dict[str, Any] = {
            "command": sys.argv,
            "seed": opened.experiment.seed,
            "devices": [device.device_kind for device in jax.local_devices()],
            "checkpoint_step": opened.step,
            "split": split,
            "score": score,
            "whole": whole,
            "replaced_by": "mean" if self.mean else "zero",
            "parts": [
                {**part._asdict(), "value": whole + effect, "change": effect}
                for part, effect in ranked[: self.top]
            ],
        }
        print(json.dumps(record, indent=2))
