"""`flax-transformer plot`."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from tyro.conf import Positional

from flax_transformer.console import say
from flax_transformer.errors import UserError, unknown
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.metrics import VALIDATION, whole_lines
from flax_transformer.visualization.curves import plot_curves, read_curve
from flax_transformer.visualization.pictures import check_picture_path, save_picture


@dataclasses.dataclass(frozen=True)
class Plot:
    """Draw the training curves of one or several workdirs in one picture."""

    workdirs: Positional[tuple[Path, ...]]
    """Folders of trainings, finished or not."""
    out: Path = Path("curves.png")
    """Picture to write."""
    score: str | None = None
    """Score of the validation split; by default --training.best-score of the first folder."""

    def run(self) -> None:
        """Draws the training loss and the validation score against the updates."""
        if not self.workdirs:
            raise UserError("no workdir to plot: name one or several, such as runs/number_words")
        check_picture_path(self.out, "--out")
        runs = read_runs(self.workdirs)
        if self.score is not None:
            _check_score(self.score, runs)
        score = self.score or Workdir(self.workdirs[0]).load().training.score
        save_picture(plot_curves(runs, score), self.out)
        say(Console(), f"drawn in {self.out}")


def read_runs(paths: tuple[Path, ...]) -> dict[str, list[str]]:
    """Returns the lines of the metrics of workdirs, by their names.

    Raises:
        UserError: if a folder holds no run, or has measured no training loss.
    """
    return {_name(path, paths): _measured(path) for path in paths}


def _name(path: Path, paths: tuple[Path, ...]) -> str:
    """The folder's name, or its whole path if two folders have the same name."""
    is_alone = sum(other.resolve().name == path.resolve().name for other in paths) == 1
    return path.resolve().name if is_alone else str(path)


def _measured(path: Path) -> list[str]:
    workdir = Workdir(path)
    workdir.load()
    lines = whole_lines(workdir.metrics)
    if not read_curve(lines, "train", "loss"):
        raise UserError(f"{path} has measured no training loss yet: leave it out, or train on")
    return lines


def _check_score(score: str, runs: Mapping[str, list[str]]) -> None:
    lines = (json.loads(line) for run in runs.values() for line in run)
    names = {name for line in lines if line["kind"] == VALIDATION for name in line}
    known = names - {"step", "kind"}
    if not known:
        raise UserError(f"--score {score} has no values yet: leave it out, or evaluate a training")
    if score not in known:
        raise unknown("--score", score, known)
