"""Checkpoints on disk, by Orbax: written in the background, the last few and the best kept."""

import contextlib
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from flax_transformer.errors import UserError
from flax_transformer.training.checkpoints.checkpoint_contents import check_shapes, digest, shapes
from flax_transformer.training.metrics import Goodness, best_step
from flax_transformer.training.optimizer.update_rules import exchange_average
from flax_transformer.training.step import TrainState, split_variables


class DamagedCheckpoint(Exception):
    """A checkpoint that cannot be read, or that does not hold what was saved."""


class Restored(NamedTuple):
    """What a checkpoint held: the state, and what the training noted beside it."""

    state: TrainState
    notes: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run.

    Each holds the model's variables, the optimizer's state, a digest of both, and notes of the
    training. The position in the data needs no item of its own: the batch of a step is a function
    of the seed and the step. Orbax writes a checkpoint beside its place and moves it there when it
    is whole.

    A checkpoint counts for averages if it was due: which ones are kept must not depend on where a
    training was interrupted. One that was not due lasts until the next. Also kept is the best
    of those that a longer training would have scored too, so that this one can be extended.

    Args:
        directory: folder of the checkpoints.
        keep: newest due ones kept, beside the best and the very newest.
        is_due: whether a step's checkpoint is one that every training makes.
        scores: gives the scores on the validation split so far, by step; higher is better.
        is_reader: another process may be writing: nothing is made, moved or deleted.
        is_end: whether a step is scored only because the training ends there.
    """

    def __init__(
        self,
        directory: Path,
        keep: int,
        is_due: Callable[[int], bool],
        scores: Callable[[], Mapping[int, Goodness]],
        is_reader: bool = False,
        is_end: Callable[[int], bool] = lambda step: False,
    ):
        # Orbax logs every step of every save at level INFO, and every error before raising it.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        self._directory = directory.absolute()
        self._keep, self._is_due, self._scores = keep, is_due, scores
        self._is_end = is_end
        options = ocp.CheckpointManagerOptions(
            read_only=is_reader,
            create=not is_reader,
            cleanup_tmp_directories=not is_reader,
            preservation_policy=None if is_reader else self,
        )
        self._manager = ocp.CheckpointManager(self._directory, options=options)

    def save(self, state: TrainState, notes: Mapping[str, Any]) -> None:
        """Writes a checkpoint in the background.

        Args:
            state: of the training.
            notes: what else the training needs to go on, as JSON can hold it.

        Raises:
            UserError: if this or the last checkpoint cannot be written.
        """
        host = jax.device_get(state)
        # What readers want is the variables; so if these are averaged, the optimizer's item has the
        # parameters in the place of the average.
        _, optimizer_state = exchange_average(host.params, host.optimizer_state)
        items = {"variables": host.variables, "optimizer": optimizer_state}
        contents: dict[str, Any] = {
            name: {"digest": digest(item), "shapes": shapes(item)} for name, item in items.items()
        }
        contents["skipped"] = int(host.skipped)
        with self._explained():
            self._manager.wait_until_finished()  # what it still writes takes room too
            _check_room(self._directory, sum(leaf.nbytes for leaf in jax.tree.leaves(items)))
            self._manager.save(
                int(host.step),
                args=ocp.args.Composite(
                    **{name: ocp.args.StandardSave(item) for name, item in items.items()},
                    contents=ocp.args.JsonSave(contents),
                    notes=ocp.args.JsonSave(dict(notes)),
                ),
            )

    def steps(self) -> list[int]:
        """The steps of the checkpoints there are, the oldest first."""
        return sorted(self._manager.all_steps())

    def last_steps(self) -> list[int]:
        """The steps of the newest due checkpoints, whose mean is the averaged model.

        Before the first was due, the newest.
        """
        due = [step for step in self.steps() if self._is_due(step)]
        return due[-self._keep :] or self.steps()[-1:]

    def best_step(self) -> int | None:
        """The step of the checkpoint with the best score."""
        return self._best(self.steps())

    def restore(self, like: TrainState, step: int) -> Restored:
        """Reads a checkpoint to continue from.

        Args:
            like: a state of the same structure and shapes.
            step: of the checkpoint.

        Raises:
            UserError: if it is of another model.
            DamagedCheckpoint: if it cannot be read, or does not hold what was saved.
        """
        items = self._read(
            step, {"variables": like.variables, "optimizer": like.optimizer_state}, notes=True
        )
        params, statistics = split_variables(items["variables"])
        params, optimizer_state = exchange_average(params, items["optimizer"])
        state = TrainState(
            jnp.int32(step), params, statistics, optimizer_state, jnp.int32(items["skipped"])
        )
        return Restored(state, items["notes"])

    def restore_newest(self, like: TrainState) -> Restored | None:
        """Reads the newest checkpoint that is whole; damaged ones are named and put aside.

        Args:
            like: a state of the same structure and shapes.

        Returns:
            None if there is none.
        """
        for step in reversed(self.steps()):
            try:
                return self.restore(like, step)
            except DamagedCheckpoint as error:
                aside = self._put_aside(step)
                warnings.warn(f"{error}: moved to {aside}; the one before it is used", stacklevel=2)
        return None

    def mean_variables(self, like: Any, steps: Sequence[int]) -> tuple[Any, list[int]]:
        """Averages the parameters, and the running statistics if there are any, of checkpoints.

        Args:
            like: pytree of the variables' shapes.
            steps: of the checkpoints; a damaged one is named and left out.

        Returns:
            The mean of each variable, and the steps whose mean it is, none if all are damaged.

        Reference:
            Vaswani et al. 2017, section 6.1.
        """
        total, read = None, []
        for step in steps:
            try:
                variables = self._read(step, {"variables": like})["variables"]
            except DamagedCheckpoint as error:
                warnings.warn(f"{error}: it is left out", stacklevel=2)
                continue
            part = jax.tree.map(lambda x: np.asarray(x, np.float64), variables)
            total = part if total is None else jax.tree.map(np.add, total, part)
            read.append(step)
        mean = lambda x, shape: (x / len(read)).astype(shape.dtype)  # noqa: E731
        return total and jax.tree.map(mean, total, like), read

    def contents(self, step: int) -> dict[str, Any]:
        """The digest and the shapes of a checkpoint's items, and the skipped updates before it."""
        return self._manager.restore(
            step, args=ocp.args.Composite(contents=ocp.args.JsonRestore())
        )["contents"]

    def prune(self) -> None:
        """Deletes what an interruption kept from being deleted."""
        for step in set(self.steps()) - self._kept(self.steps()):
            self._manager.delete(step)

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Tells Orbax for each checkpoint whether it is kept."""
        kept = self._kept([checkpoint.step for checkpoint in checkpoints])
        return [checkpoint.step in kept for checkpoint in checkpoints]

    def close(self) -> None:
        """Waits until everything is written."""
        with self._explained():
            self._manager.wait_until_finished()
        self._manager.close()

    def _read(self, step: int, like: Mapping[str, Any], notes: bool = False) -> dict[str, Any]:
        """Reads some items, and makes sure that they are what was saved."""
        where = f"the checkpoint {self._directory / str(step)}"
        empty = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), {**like})
        args: dict[str, Any] = {n: ocp.args.StandardRestore(item) for n, item in empty.items()}
        if notes:
            args["notes"] = ocp.args.JsonRestore()
        try:
            contents = self.contents(step)
            for name, item in like.items():
                check_shapes(contents[name]["shapes"], shapes(item), where)
            items = {**self._manager.restore(step, args=ocp.args.Composite(**args))}
            wrong = [n for n in like if digest(items[n]) != contents[n]["digest"]]
            items["skipped"] = contents["skipped"]
        except UserError:
            raise
        # Whatever Orbax and the libraries below it raise: the files are not what was written.
        except Exception as error:
            raise DamagedCheckpoint(f"{where} is damaged ({_first_line(error)})") from error
        if wrong:
            raise DamagedCheckpoint(f"{where} is damaged (its {wrong[0]} are not those saved)")
        return items

    def _kept(self, steps: Sequence[int]) -> set[int | None]:
        """Of these steps the newest due ones, the best and the very newest."""
        due = sorted(step for step in steps if self._is_due(step))
        lasting = [step for step in steps if not self._is_end(step)]
        return {*due[-self._keep :], self._best(steps), self._best(lasting), max(steps, default=0)}

    def _best(self, steps: Sequence[int]) -> int | None:
        scores = self._scores()
        return best_step({step: scores[step] for step in steps if step in scores})

    def _put_aside(self, step: int) -> Path:
        """Moves a damaged checkpoint out of the way, for its step will be saved again."""
        folder = self._directory.with_name("damaged")
        folder.mkdir(exist_ok=True)
        number = sum(path.name.partition(".")[0] == str(step) for path in folder.iterdir())
        aside = folder / f"{step}.{number}"
        (self._directory / str(step)).rename(aside)
        self._manager.reload()
        return aside

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns file-system errors into one line; Orbax raises them at the next call."""
        try:
            yield
        # Below Orbax lies a C++ library, whose errors are a ValueError with the system's words.
        except (OSError, ValueError) as error:
            # Not `steps`, which leaves out what would have been deleted after this one.
            steps = [int(path.name) for path in self._directory.glob("*") if path.name.isdecimal()]
            kept = f"the last one, of step {max(steps)}, is whole" if steps else "there is none yet"
            raise UserError(
                f"cannot write a checkpoint into {self._directory} ({_first_line(error)}); {kept}: "
                "make room, or make the folder writable, and give the same command again"
            ) from error


def _check_room(directory: Path, num_bytes: int) -> None:
    """Fails if a folder cannot take a file of so many bytes.

    An error is clearer before Orbax has begun, and leaves none of its coroutines unawaited, of
    which Python warns when they are collected.
    """
    with tempfile.TemporaryFile(dir=directory) as file:
        # Not on every system. Unlike the free space of a disk it minds quotas and limits.
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(file.fileno(), 0, num_bytes)
            except OSError as error:
                needed = f"{error.strerror} for {num_bytes / 1e6:,.1f} MB"
                raise OSError(error.errno, needed) from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
