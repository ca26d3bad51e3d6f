"""`flax-transformer train`."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated

from rich.console import Console
from tyro.conf import AvoidSubcommands, Positional, UseAppendAction, arg

from flax_transformer.commands.several_processes import OfProcesses
from flax_transformer.console import say, show_scores
from flax_transformer.evaluation.report import Record
from flax_transformer.experiment import Experiment
from flax_transformer.python_files import parts_options
from flax_transformer.runtime.process import repeat_bits
from flax_transformer.tasks.task import Scored
from flax_transformer.tasks.tasks import find_task
from flax_transformer.training.assemble import evaluate
from flax_transformer.training.durability.lasting_console import LastingConsole
from flax_transformer.training.loop import train
from flax_transformer.training.processes import is_first


@dataclasses.dataclass(frozen=True, kw_only=True)
class OfExperiment:
    """An experiment file, and options that change it."""

    experiment_file: Positional[Path]
    """Python file that defines `experiment`, such as experiments/number_words.py, or the
    experiment.json of a workdir."""
    preset: str | None = None
    """Named model size instead of the experiment's; `flax-transformer list` shows the names. A row
    of the paper's Table 3 also sets label smoothing. --model and --task options still apply."""
    convention: str | None = None
    """Settings of paper, t2t, fairseq, flax or opennmt instead of the experiment's and the
    preset's, also its positional scheme. `flax-transformer conventions` shows all settings. Options
    still apply."""
    experiment: Annotated[UseAppendAction[AvoidSubcommands[Experiment]], arg(name="")] = (
        Experiment()
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train(OfExperiment, OfProcesses):
    """Train an experiment, or continue an interrupted training."""

    workdir: Path
    """Folder of the run; the same command continues its training."""
    checkpoint_dir: str | None = None
    """Folder of the checkpoints, or an address such as gs://bucket/run, which the workdir remembers
    for all commands; by default the workdir."""
    deterministic: bool = False
    """Compute the same bits in every run on a GPU too, at some cost of speed."""
    debug_nans: bool = False
    """Stop at the first operation that produces a NaN, and report its line; many times slower."""

    def run(self) -> None:
        """Trains, scores the held-out split and says what to do next."""
        if self.deterministic:
            repeat_bits()
        with self.joined():
            self._run(LastingConsole(quiet=not is_first()))

    def _run(self, console: Console) -> None:
        how = (self.debug_nans, self.checkpoint_dir)
        _, scored = train_and_score(self.experiment, self.workdir, console, *how)
        command = find_task(self.experiment)[1].command
        say(console, f"next, {command} something of your own:")
        example = json.dumps(scored.example or "FILE", ensure_ascii=False)
        options = f"--workdir {self.workdir}{parts_options()}"
        say(console, f"  flax-transformer {command} {options} {example}")


def train_and_score(
    experiment: Experiment,
    workdir: Path,
    console: Console,
    find_nans: bool = False,
    checkpoint_dir: str | None = None,
) -> tuple[Record, Scored]:
    """Trains, scores the held-out split and shows the scores and a few outputs."""
    train(experiment, workdir, console, find_nans, checkpoint_dir)
    try:
        record, scored = evaluate(workdir, experiment.data.held_out_split, command=sys.argv)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "interrupted after the last step, before the scores: flax-transformer evaluate "
            f"--workdir {workdir}{parts_options()} computes them"
        ) from None
    show_scores(record, console)
    for line in scored.samples:
        say(console, line)
    return record, scored
