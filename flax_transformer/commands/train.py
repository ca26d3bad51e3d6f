"""`flax-transformer train`."""

import dataclasses
import sys
from pathlib import Path

from rich.console import Console

from flax_transformer.commands.of_experiment import OfExperiment
from flax_transformer.console import say, show_scores
from flax_transformer.evaluation.report import Record
from flax_transformer.experiment import Experiment
from flax_transformer.tasks.scoring import Scored
from flax_transformer.training.evaluate import evaluate
from flax_transformer.training.log import NUM_SAMPLES
from flax_transformer.training.loop import train


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train(OfExperiment):
    """Train an experiment, or continue its interrupted training."""

    workdir: Path
    """Folder of the run; the same command continues what it holds."""

    def run(self) -> None:
        """Trains, scores the held-out split and says what to do next."""
        console = Console()
        _, scored = train_and_score(self.experiment, self.workdir, console)
        say(console, "next, translate text of your own:")
        say(
            console,
            f'  flax-transformer translate --workdir {self.workdir} "{scored.pairs[0].source}"',
        )


def train_and_score(
    experiment: Experiment, workdir: Path, console: Console
) -> tuple[Record, Scored]:
    """Trains, scores the held-out split and shows the scores and a few translations."""
    train(experiment, workdir, console)
    record, scored = evaluate(workdir, experiment.data.held_out_split, command=sys.argv)
    show_scores(console, record)
    for line in scored.samples(NUM_SAMPLES):
        say(console, line)
    return record, scored
