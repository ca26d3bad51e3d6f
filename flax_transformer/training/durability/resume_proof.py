"""Proof that a training killed at any moment ends with the same files as without interruption."""

import contextlib
import json
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from flax_transformer.errors import UserError
from flax_transformer.python_files import IMPORTED_PARTS
from flax_transformer.training.assemble import open_checkpoints
from flax_transformer.training.checkpoints.kept_weights import kept_contents
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.metrics import PER_SECOND, scores_since_best, validation_scores

_POLL_SECONDS = 0.002
_WORK = ("data", "step", "evaluation", "checkpoint")


class Kill(NamedTuple):
    """A killed process.

    Attributes:
        seconds: its age.
        last_step: its newest checkpoint; 0 without one.
        was_writing: whether it left an incomplete checkpoint.
    """

    seconds: float
    last_step: int
    was_writing: bool


class KilledTrainings:
    """Trains an experiment in processes that are killed.

    Args:
        experiment: file of the experiment; a JSON file as in a workdir, for it must not change.
        log: receives the output of the processes.
    """

    def __init__(self, experiment: Path, log: Path):
        self._experiment, self._log = experiment, log
        self._random, self._patience = random.Random(0), 1.0

    def train_once(self, workdir: Path) -> float:
        """Trains to the end.

        Returns:
            The seconds of its steps, including evaluations and checkpoints.

        Raises:
            UserError: if it fails.
        """
        self._check(self._start(workdir).wait())
        return sum(map(json.loads(Workdir(workdir).times.read_text()).__getitem__, _WORK))

    def train_and_kill(self, workdir: Path, num_kills: int, seconds: float) -> Iterator[Kill]:
        """Trains to the end, killing processes with SIGKILL on the way.

        Of three processes, one is killed while it trains, one while it writes a checkpoint, if it
        gets that far, and one while it starts. The number of steps before each kill is random.

        Args:
            workdir: workdir of the training.
            num_kills: maximum number of kills; the training may end before.
            seconds: result of `train_once`.

        Yields:
            Every kill.

        Raises:
            UserError: if a process fails by itself.
        """
        training = json.loads(self._experiment.read_text())["training"]
        every = min(training["checkpoint_every_steps"], training["evaluate_every_steps"])
        # Usually long enough to reach a checkpoint.
        share = max(2 / num_kills, min(1.0, 2 * every / training["num_steps"]))
        # Machines may be slower or faster than the first time. The training should neither end too
        # early nor make no progress between kills.
        last_step = 0
        for number in range(num_kills):
            kind = ("work", "write", "start")[number % 3]
            delay = self._random.uniform(0, share * seconds * self._patience)
            kill = self._kill(workdir, kind, delay)
            if kill is None:
                self._patience /= 2
                return
            if kind == "work" and kill.last_step == last_step:
                self._patience *= 2
            last_step = kill.last_step
            yield kill
        self._check(self._start(workdir).wait())

    def _kill(self, workdir: Path, kind: str, delay: float) -> Kill | None:
        """Kills a process; returns None if it ended before.

        Args:
            workdir: workdir of the training.
            kind: "start" counts the delay from the start of the process, "work" from its first
                step; "write" kills it in the next checkpoint after the delay.
            delay: seconds.
        """
        before, left = _opened(workdir), _unfinished(workdir)
        started = time.perf_counter()
        since = started if kind == "start" else math.inf
        process = self._start(workdir)
        while process.poll() is None:
            now = time.perf_counter()
            if since == math.inf and _opened(workdir) != before:
                since = now
            if now - since > delay and (kind != "write" or _unfinished(workdir) - left):
                process.kill()
                process.wait()
                last_step = max(Workdir(workdir).saved_steps(), default=0)
                return Kill(now - started, last_step, bool(_unfinished(workdir) - left))
            time.sleep(_POLL_SECONDS)
        self._check(process.returncode)
        return None

    def _start(self, workdir: Path) -> subprocess.Popen:
        words = ["train", str(self._experiment), "--workdir", str(workdir)]
        words += [f"--parts={file}" for file in IMPORTED_PARTS]
        command = [sys.executable, "-m", "flax_transformer", *words]
        with self._log.open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def _check(self, code: int) -> None:
        if code:
            said = self._log.read_text(errors="replace").strip().rpartition("\n")[2] or "nothing"
            raise UserError(
                f"the training failed with code {code}: {said} (--workdir keeps all it printed)"
            )


def _opened(workdir: Path) -> int:
    """Identifies each opening of the metrics, which a training does before its first step."""
    metrics = Workdir(workdir).metrics
    # Each opening writes a new file, so later lines do not change it.
    return metrics.stat().st_ino if metrics.exists() else 0


def _unfinished(workdir: Path) -> set[int]:
    """The incomplete checkpoints, of a running or a dead process."""
    found = set()
    for path in Workdir(workdir).checkpoints.glob("*.orbax-checkpoint-tmp*"):
        # It may have been completed and moved by now.
        with contextlib.suppress(FileNotFoundError):
            found.add(os.stat(path).st_ino)
    return found


def differences(first: Path, second: Path) -> list[str]:
    """Compares everything that two trainings leave behind.

    It compares the experiment and the task's files, byte for byte; the steps of all, of the best
    and of the averaged checkpoints; all arrays of every checkpoint and of the base of adapters, bit
    for bit; all lines of metrics except the speed; and the state of early stopping. Random keys and
    the position in the data follow from the seed and the step.

    Returns:
        A line for each difference; none for equal trainings.
    """
    one, other = _left_behind(first), _left_behind(second)
    return [
        f"{name}: {_shown(one.get(name))} in {first}, {_shown(other.get(name))} in {second}"
        for name in {**one, **other}
        if one.get(name) != other.get(name)
    ]


def _left_behind(path: Path) -> dict[str, Any]:
    workdir = Workdir(path)
    training = workdir.load().training
    scores = validation_scores(workdir.metrics, training.score)
    left: dict[str, Any] = {
        **{file.name: file.read_text() for file in path.glob("*.json") if file != workdir.times},
        "evaluations since the best": scores_since_best(scores),
        "base": kept_contents(workdir.base),
    }
    for number, line in enumerate(workdir.metrics.read_text().splitlines()):
        values = json.loads(line).items()
        measured = {name: value for name, value in values if not name.endswith(PER_SECOND)}
        left[f"line {number + 1} of metrics.jsonl"] = measured
    with contextlib.closing(open_checkpoints(workdir, training, is_reader=True)) as checkpoints:
        left["steps of the checkpoints"] = checkpoints.steps()
        left["averaged steps"] = checkpoints.last_steps()
        left["best step"] = checkpoints.best_step()
        for step in checkpoints.steps():
            for item, contents in checkpoints.contents(step).items():
                left[f"{item} of step {step}"] = contents
    return left


def _shown(value: Any) -> str:
    """Shortens a value to one line."""
    text = json.dumps(value) if value is not None else "nothing"
    return text if len(text) <= 60 else f"{text[:57]}..."
