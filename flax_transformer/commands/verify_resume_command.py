"""`flax-transformer verify-resume`."""

import dataclasses
import tempfile
from pathlib import Path

from rich.console import Console

from flax_transformer.commands.train_command import OfExperiment
from flax_transformer.console import say
from flax_transformer.errors import UserError, check_options
from flax_transformer.experiment import write_experiment
from flax_transformer.python_files import import_parts
from flax_transformer.training.durability.resume_proof import KilledTrainings, differences


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerifyResume(OfExperiment):
    """Prove that a training that is killed and continued ends bit-identical.

    Trains once without interruption and once with kills, some of them while a checkpoint is
    written, and compares all results.
    """

    kills: int = 3
    """Number of processes to kill; if a training ends earlier, another one is started."""
    workdir: Path | None = None
    """New folder for the runs; by default a temporary one."""

    def run(self) -> None:
        """Trains, kills, compares and reports the differences."""
        check_options(self, "kills")
        with tempfile.TemporaryDirectory(prefix="verify-resume-") as temporary:
            folder = self.workdir or Path(temporary)
            try:
                folder.mkdir(parents=True, exist_ok=self.workdir is None)
            except OSError as error:
                raise UserError(
                    f"--workdir {folder} cannot be made ({error.strerror}): give a new one"
                ) from error
            self._verify(folder.absolute(), Console())

    def _verify(self, folder: Path, console: Console) -> None:
        file = folder / "experiment.json"
        write_experiment(file, self.experiment.with_absolute_paths())
        if self.experiment_file.suffix == ".py":
            # It may register parts, which the processes need too.
            import_parts(self.experiment_file)
        trainings = KilledTrainings(file, folder / "log.txt")
        say(console, f"training without interruption; its output goes to {folder / 'log.txt'}")
        seconds = trainings.train_once(folder / "uninterrupted")
        say(console, f"its steps took {seconds:.0f} s; now with {self.kills} kills")
        kills, found, rounds = [], [], 0
        while len(kills) < self.kills:
            killed = folder / f"killed-{(rounds := rounds + 1)}"
            for kill in trainings.train_and_kill(killed, self.kills - len(kills), seconds):
                kills.append(kill)
                what = "half-written after" if kill.was_writing else "newest of"
                where = f"checkpoint {what} step {kill.last_step:,}"
                say(console, f"  kill {len(kills)} at {kill.seconds:.1f} s, {where}")
            found += differences(folder / "uninterrupted", killed)
        if found:
            raise UserError(
                f"{len(found)} differences after {len(kills)} kills: {'; '.join(found[:3])}; give "
                "--workdir to keep the runs and look at them"
            )
        halves = sum(kill.was_writing for kill in kills)
        say(
            console,
            f"no difference after {len(kills)} kills in {rounds} training(s), {halves} of them "
            "while a checkpoint was written: parameters, optimizer, metrics, best and averaged "
            "steps",
        )
