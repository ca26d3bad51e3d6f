"""The folder of a run: which file is where, and whose run it is."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from flax_transformer.errors import UserError
from flax_transformer.experiment import Experiment, read_experiment, write_experiment
from flax_transformer.training.checkpoints.extension import check_settings, forget_end

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


class Workdir:
    """A run's folder; all that later commands need is in it.

    Attributes:
        path: the folder.
        checkpoints: folder of Orbax's checkpoints.
        metrics: one line of JSON for each measurement.
        tensorboard: folder of the same curves for TensorBoard.
        scores: folder of the evaluations.
        times: where the wall time of the training went.
    """

    def __init__(self, path: Path):
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.metrics = path / "metrics.jsonl"
        self.tensorboard = path / "tensorboard"
        self.scores = path / "scores"
        self.times = path / "times.json"
        self._experiment = path / "experiment.json"
        # Held by the operating system for this process: one that dies holds it no longer.
        self._lock = FileLock(path / ".lock", timeout=0)

    def check(self, experiment: Experiment) -> None:
        """Makes sure that the folder is free, or already this experiment's; see `check_settings`.

        Raises:
            UserError: if the folder holds another experiment, or is not a directory.
        """
        if self._experiment.exists():
            check_settings(self.path, self.load(), experiment)
        elif self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is not a directory: choose another --workdir")

    def start(self, experiment: Experiment) -> None:
        """Claims the folder for an experiment, and for this process until `release`; see `check`.

        Raises:
            UserError: also if nothing can be written there, or another process trains in it.
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
        write_experiment(self._experiment, experiment)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Turns the error of a full disk into one line; lets the folder go at the end."""
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
        return self._experiment.is_file()

    def has_checkpoint(self) -> bool:
        """Whether a training can be continued in the folder."""
        return any(path.name.isdecimal() for path in self.checkpoints.glob("*"))

    def load(self) -> Experiment:
        """Reads the experiment of the folder.

        Raises:
            UserError: if the folder holds no run.
        """
        if not self.holds_run():
            raise UserError(
                f"{self.path} holds no run: train one with "
                f"flax-transformer train experiments/number_words.py --workdir {self.path}"
            )
        return read_experiment(self._experiment)
