"""The folder of a run: its files, its lock, and the settings with which it may continue."""

import contextlib
import errno
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from etils import epath
from filelock import FileLock, Timeout

from flax_transformer.errors import UserError
from flax_transformer.experiment import Experiment, read_experiment, write_experiment
from flax_transformer.training.checkpoints.checkpoint_place import (
    OPTION,
    CheckpointPlace,
    complete_steps,
    explained_access,
)
from flax_transformer.training.checkpoints.settings import differing_settings, setting_option
from flax_transformer.training.metrics import VALIDATION, keep_lines
from flax_transformer.training.optimizer.optimizer_config import FALLING
from flax_transformer.training.processes import AgreedError, from_first, gathered, is_first
from flax_transformer.training.training_config import TrainingConfig

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
# These fields control what is shown and when. Parameters, scores and checkpoints do not depend on
# them.
FREE = ("training.log_every_steps", "training.mesh")
NUM_STEPS = "training.num_steps"
SHOWN = 3  # differences in a message
CHECKS_IF_SHARED = 20


class Workdir:
    """A run's folder, with everything that later commands need.

    Args:
        path: the folder.
        checkpoint_dir: where a new run keeps its checkpoints instead; see `CheckpointPlace`.

    Attributes:
        path: the folder.
        metrics: one line of JSON for each measurement.
        tensorboard: folder of the same curves for TensorBoard.
        scores: folder of the evaluations.
        times: file with the wall time of each part of the training.
    """

    def __init__(self, path: Path, checkpoint_dir: str | Path | None = None):
        self.path = path
        self._place = CheckpointPlace(path, checkpoint_dir)
        self.metrics = path / "metrics.jsonl"
        self.tensorboard = path / "tensorboard"
        self.scores = path / "scores"
        self.times = path / "times.json"
        self._experiment = path / "experiment.json"
        # The operating system holds the lock for this process, and releases it when the process
        # dies.
        self._lock = FileLock(path / ".lock", timeout=0)

    @property
    def checkpoints(self) -> epath.Path:
        """The folder of Orbax's checkpoints."""
        return self._place.path / "checkpoints"

    @property
    def base(self) -> epath.Path:
        """The folder of the weights that a training of adapters keeps."""
        return self._place.path / "base"

    def check(self, experiment: Experiment) -> None:
        """Checks that the folder is free or belongs to this experiment; see `check_settings`.

        Raises:
            UserError: if the folder contains another experiment, is not a directory, or keeps its
                checkpoints in another place than the wanted one.
        """
        if self._experiment.exists():
            check_settings(self.path, self.load(), experiment)
        elif self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is not a directory: choose another --workdir")
        self._place.check(self._experiment.exists())

    def start(self, experiment: Experiment) -> None:
        """Claims the folder for an experiment, and for this process until `release`; see `check`.

        Raises:
            UserError: as `check`, and if the folder is not writable, or another process trains in
                it.
        """
        self.check(experiment)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            raise UserError(
                f"another process is training in {self.path}: wait for it, stop it, or choose "
                "another --workdir"
            ) from None
        except OSError as error:
            raise UserError(
                f"cannot write into {self.path} ({error.strerror}): choose another --workdir"
            ) from error
        # Another process may have claimed it before this one had the lock.
        self.check(experiment)
        if self._experiment.exists():
            training = self.load().training
            if training.num_steps < experiment.training.num_steps:
                # First: if interrupted here, the run has its old number of steps and makes the
                # lines again.
                forget_end(self.metrics, training)
        self._place.claim()
        write_experiment(self._experiment, experiment)

    def check_shared(self) -> None:
        """Verifies that all processes see this folder: each reads what the first one writes.

        Raises:
            AgreedError: naming the processes that do not.
        """
        if jax.process_count() == 1:
            return
        name, path = from_first(lambda: (_make_mark(self.path), str(self.path)))
        mark = self.path / name
        for seen, place in ((mark.exists, f"--workdir {path}"), (self._place.is_seen, OPTION)):
            blind = [name for name in gathered(_if_not(seen)) if name]
            if blind:
                raise AgreedError(
                    f"{', '.join(blind)} cannot see the {place} of process 0: mount one "
                    "folder on all hosts"
                )
        if is_first():
            mark.unlink()

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Turns the error of a full disk into one line; releases the folder at the end."""
        try:
            yield
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise UserError(
                f"cannot write into {self.path} ({error.strerror}): make room, or make the folder "
                "writable, and give the same command again"
            ) from error
        finally:
            self.release()

    def release(self) -> None:
        """Lets another process train in the folder."""
        self._lock.release()

    def holds_run(self) -> bool:
        """Whether a training has begun in the folder."""
        return self._experiment.is_file() and not self.is_published()

    def is_published(self) -> bool:
        """Whether the folder is that of a published model, which is not a workdir."""
        return (self.path / "config.json").is_file()

    def saved_steps(self) -> list[int]:
        """The steps of the checkpoints; a training continues from the newest."""
        with explained_access(self.checkpoints, "read"):
            return complete_steps(self.checkpoints)

    def load(self) -> Experiment:
        """Reads the experiment of the folder.

        Raises:
            UserError: if the folder contains no run.
        """
        if self.is_published():
            raise UserError(
                f"{self.path} is a published model, not a workdir: make one of it with "
                f"flax-transformer import {self.path} --workdir DIR"
            )
        if not self.holds_run():
            raise UserError(
                f"{self.path} holds no run: train one with "
                f"flax-transformer train experiments/number_words.py --workdir {self.path}"
            )
        return read_experiment(self._experiment)


def check_settings(path: Path, found: Experiment, wanted: Experiment) -> None:
    """Verifies that a run can continue with the wanted settings.

    Only display intervals and the mesh of devices may differ. The number of steps may increase if
    the learning rate does not depend on it. The run then ends as if it had begun with the larger
    number.

    Args:
        path: path of the workdir.
        found: the settings in the workdir.
        wanted: the wanted settings.

    Raises:
        UserError: naming the differences and a solution.
    """
    differing = {
        name: values
        for name, values in differing_settings(found, wanted).items()
        if name not in FREE
    }
    if not differing:
        return
    if list(differing) != [NUM_STEPS]:
        changes = [_change(name, *values) for name, values in differing.items()]
        raise _another_experiment(path, changes)
    steps, more = found.training.num_steps, wanted.training.num_steps
    if more < steps:
        raise UserError(
            f"{path} holds a training of {steps:,} steps, more than --training.num-steps "
            f"{more}: give {steps} or more, or choose another --workdir"
        )
    schedule = found.optimizer.schedule
    if schedule in FALLING:
        raise UserError(
            f"{path} cannot be extended from {steps:,} to --training.num-steps {more}: with "
            f"--optimizer.schedule {schedule} every learning rate depends on the last step; choose "
            f"another --workdir, and --init-from {path} to begin with its weights"
        )


def _make_mark(folder: Path) -> str:
    """Makes an empty file that no other folder has; returns its name."""
    mark = folder / f".shared-{secrets.token_hex(8)}"
    mark.touch()
    return mark.name


def _if_not(seen: Callable[[], bool]) -> str:
    """Names this process if it does not see a file; a network's file system may show it late."""
    for _ in range(CHECKS_IF_SHARED):
        if seen():
            return ""
        time.sleep(0.5)
    return f"process {jax.process_index()} on {socket.gethostname()}"


def _another_experiment(path: Path, changes: Sequence[str]) -> UserError:
    """Makes the error for a workdir of another experiment, with the first changes."""
    file = path / "experiment.json"
    listed = list(changes[:SHOWN])
    if more := changes[SHOWN:]:
        listed.append(f"and {len(more)} more: see {file}")
    return UserError(
        f"{path} holds another experiment ({'; '.join(listed)}): choose another --workdir, or "
        f"continue that one with flax-transformer train {file} --workdir {path}"
    )


def _change(setting: str, *values: object) -> str:
    """Describes the values of a setting in the workdir and now."""
    # A part of another kind may lack the setting.
    old, new = ("none" if value is None else repr(value) for value in values)
    return f"{setting_option(setting)} was {old}, now {new}"


def forget_end(metrics: Path, training: TrainingConfig) -> None:
    """Drops lines that were written only because the training ended, before it is extended.

    Args:
        metrics: path of the run's JSON lines.
        training: config with the previous number of steps.
    """
    step = training.num_steps
    ending = {"train": training.logs_as_last(step), VALIDATION: training.evaluates_as_last(step)}

    def is_kept(line: Mapping[str, Any]) -> bool:
        return line["step"] != step or not ending.get(line["kind"], False)

    if any(ending.values()) and metrics.exists():
        keep_lines(metrics, is_kept)
