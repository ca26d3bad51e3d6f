"""Batch and layer normalization side by side: the same model trained twice.

    python experiments/normalization.py --workdir runs/normalization

Both runs are experiments/number_words.py but for `model.norm`: the same placement, first weights,
order of the data and updates. The picture curves.png in the workdir draws the training loss and the
validation score of both over the updates. The same command continues what was interrupted.

A vector that layer normalization treats depends on nothing else. Batch normalization ties it to all
tokens of the batch in training, and to running statistics afterwards; of padding it takes nothing.
"""

import dataclasses
import sys
from pathlib import Path

from rich.console import Console

import flax_transformer as ft
from flax_transformer.cli import execute
from flax_transformer.console import say, show_table
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.visualization import plot_curves, read_curve, save_picture

NORMS = ("layer", "batch")


@dataclasses.dataclass(frozen=True)
class CompareNorms:
    """Train the number words with layer and with batch normalization, and draw both curves."""

    workdir: Path
    """Folder of both runs and of the picture; the same command continues what it holds."""
    num_steps: int = 200
    """Updates of each model."""

    def run(self) -> None:
        """Trains both, prints their last figures and where the picture is."""
        experiment = ft.load_experiment(Path(__file__).with_name("number_words.py"))
        training = dataclasses.replace(
            experiment.training,
            num_steps=self.num_steps,
            # Enough points to see the course of it.
            log_every_steps=max(self.num_steps // 40, 1),
            evaluate_every_steps=max(self.num_steps // 8, 1),
        )
        compare(dataclasses.replace(experiment, training=training), self.workdir, Console())


def compare(experiment: ft.Experiment, workdir: Path, console: Console) -> None:
    """Trains an experiment with each norm, prints the last loss and score, and draws the curves."""
    score = experiment.training.score
    runs, rows = {}, {}
    for norm in NORMS:
        say(console, f"{norm} normalization")
        model = dataclasses.replace(experiment.model, norm=norm)
        ft.train(dataclasses.replace(experiment, model=model), workdir / norm, console)
        runs[norm] = Workdir(workdir / norm).metrics
        rows[norm] = {
            "training loss": f"{read_curve(runs[norm], 'train', 'loss')[-1][1]:.3f}",
            f"validation {score}": f"{read_curve(runs[norm], 'validation', score)[-1][1]:.2f}",
        }
    show_table(console, f"after {experiment.training.num_steps:,} updates", rows)
    picture = workdir / "curves.png"
    save_picture(plot_curves(runs, score), picture)
    say(console, f"curves in {picture}")


if __name__ == "__main__":
    execute(CompareNorms, sys.argv[1:])
