"""Batch and layer normalization side by side: the same model trained twice.

    python experiments/normalization.py --workdir runs/normalization

Both runs are experiments/number_words.py except for `model.norm`: they share the placement, the
initial weights, the order of the data and the number of updates. The picture curves.png in the
workdir shows the training loss and the validation score of both. The same command continues an
interrupted run.

The result of layer normalization for a vector depends only on that vector. With batch normalization
it also depends on all tokens of the batch in training, and on running statistics afterwards.
Padding is not included.
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
    """Folder of both runs and of the picture; the same command continues them."""
    num_steps: int = 200
    """Updates of each model."""

    def run(self) -> None:
        """Trains both, and prints their last scores and the path of the picture."""
        experiment = ft.load_experiment(Path(__file__).with_name("number_words.py"))
        training = dataclasses.replace(
            experiment.training,
            num_steps=self.num_steps,
            # Enough points for a curve.
            log_every_steps=max(self.num_steps // 40, 1),
            evaluate_every_steps=max(self.num_steps // 8, 1),
        )
        compare(dataclasses.replace(experiment, training=training), self.workdir, Console())


def compare(experiment: ft.Experiment, workdir: Path, console: Console) -> None:
    """Trains an experiment with each norm, prints the last losses and scores, and draws curves."""
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
