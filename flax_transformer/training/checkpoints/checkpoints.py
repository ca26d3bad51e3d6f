"""Checkpoints on disk, by Orbax: written in the background; the newest and the best are kept."""

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
from flax_transformer.training.lora import Base, divided, merged
from flax_transformer.training.metrics import Goodness, best_step
from flax_transformer.training.optimizer.update_rules import exchange_average
from flax_transformer.training.step import TrainState, split_variables


class DamagedCheckpoint(Exception):
    """A checkpoint that cannot be read, or whose contents differ from the saved state."""


class Restored(NamedTuple):
    """The contents of a checkpoint: the state, and the notes of the training."""

    state: TrainState
    notes: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run.

    Each has the model's variables, the optimizer's state, a digest of both, and notes of the
    training. The position in the data is not stored: the batch of a step is a function of the seed
    and the step. Orbax writes a checkpoint to a temporary place and moves it when it is complete.

    Only scheduled ("due") checkpoints count for averages, so the averages do not depend on where a
    training was interrupted. Others are kept until the next checkpoint. The best checkpoint is kept
    too. It is chosen among those that a longer training would also have scored, so that this
    training can be extended.

    Args:
        directory: folder of the checkpoints.
        keep: number of newest due checkpoints to keep, in addition to the best and the very newest.
        is_due: whether every training makes a checkpoint at a step.
        scores: returns the validation scores so far, by step; higher is better.
        is_reader: whether another process may be writing: nothing is made, moved or deleted.
        is_end: whether a step is scored only because the training ends there.
        base: the parameters that no checkpoint holds, if adapters are trained.
    """

    def __init__(
        self,
        directory: Path,
        keep: int,
        is_due: Callable[[int], bool],
        scores: Callable[[], Mapping[int, Goodness]],
        is_reader: bool = False,
        is_end: Callable[[int], bool] = lambda step: False,
        base: Base | None = None,
    ):
        # Orbax logs every step of every save at level INFO, and every error before raising it.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        self._directory = directory.absolute()
        self._keep, self._is_due, self._scores = keep, is_due, scores
        self._is_end, self.base = is_end, base
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
            state: state of the training.
            notes: other JSON data that the training needs to continue.

        Raises:
            UserError: if this or the previous checkpoint cannot be written.
        """
        host = jax.device_get(state)
        # Readers need the variables. If these are averaged, the optimizer's item therefore contains
        # the parameters instead of the average.
        _, optimizer_state = exchange_average(host.params, host.optimizer_state)
        items = {"variables": host.variables, "optimizer": optimizer_state}
        contents: dict[str, Any] = {
            name: {"digest": digest(item), "shapes": shapes(item)} for name, item in items.items()
        }
        contents["skipped"] = int(host.skipped)
        with self._explained():
            self._manager.wait_until_finished()  # unfinished writes need space too
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
        """The steps of the existing checkpoints, the oldest first."""
        return sorted(self._manager.all_steps())

    def last_steps(self) -> list[int]:
        """The steps of the newest due checkpoints; their mean is the averaged model.

        Before the first due checkpoint, the newest step.
        """
        due = [step for step in self.steps() if self._is_due(step)]
        return due[-self._keep :] or self.steps()[-1:]

    def best_step(self) -> int | None:
        """The step of the checkpoint with the best score."""
        return self._best(self.steps())

    def restore(self, like: TrainState, step: int) -> Restored:
        """Reads a checkpoint to continue from.

        Args:
            like: a state with the same structure and shapes.
            step: step of the checkpoint.

        Raises:
            UserError: if it belongs to another model.
            DamagedCheckpoint: if it cannot be read, or differs from the saved state.
        """
        items = self._read(
            step, {"variables": like.variables, "optimizer": like.optimizer_state}, notes=True
        )
        params, statistics = split_variables(items["variables"])
        params, optimizer_state = exchange_average(params, items["optimizer"])
        skipped = jnp.int32(items["skipped"])
        state = TrainState(jnp.int32(step), params, statistics, optimizer_state, skipped, self.base)
        return Restored(state, items["notes"])

    def restore_newest(self, like: TrainState) -> Restored | None:
        """Reads the newest undamaged checkpoint; moves damaged ones aside with a warning.

        Args:
            like: a state with the same structure and shapes.

        Returns:
            The checkpoint; None if none exists.
        """
        for step in reversed(self.steps()):
            try:
                return self.restore(like, step)
            except DamagedCheckpoint as error:
                aside = self._put_aside(step)
                warnings.warn(f"{error}: moved to {aside}; the one before it is used", stacklevel=2)
        return None

    def mean_variables(self, like: Any, steps: Sequence[int]) -> tuple[Any, list[int]]:
        """Averages the parameters, and any running statistics, of checkpoints.

        Args:
            like: pytree of the shapes of the model's variables. Adapters are merged before the mean
                is taken, because their product is not linear.
            steps: steps of the checkpoints; a damaged one is left out with a warning.

        Returns:
            The mean of each variable, and the steps of the averaged checkpoints, empty if all are
            damaged.

        Reference:
            Vaswani et al. 2017, section 6.1.
        """
        self._manager.wait_until_finished()  # the last one may still be written
        total, read = None, []
        for step in steps:
            try:
                variables = merged(self.saved_variables(like, step), self.base)
            except DamagedCheckpoint as error:
                warnings.warn(f"{error}: it is left out", stacklevel=2)
                continue
            part = jax.tree.map(lambda x: np.asarray(x, np.float64), variables)
            total = part if total is None else jax.tree.map(np.add, total, part)
            read.append(step)
        mean = lambda x, shape: (x / len(read)).astype(shape.dtype)  # noqa: E731
        return total and jax.tree.map(mean, total, like), read

    def saved_variables(self, like: Any, step: int) -> Any:
        """Reads the variables of a checkpoint; with a base, only those that are trained."""
        return self._read(step, {"variables": divided(like, self.base)})["variables"]

    def contents(self, step: int) -> dict[str, Any]:
        """Returns digest and shapes of a checkpoint's items, and the skipped updates before it."""
        return self._manager.restore(
            step, args=ocp.args.Composite(contents=ocp.args.JsonRestore())
        )["contents"]

    def prune(self) -> None:
        """Deletes checkpoints that an interrupted process did not delete."""
        for step in set(self.steps()) - self._kept(self.steps()):
            self._manager.delete(step)

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Decides for Orbax which checkpoints are kept."""
        kept = self._kept([checkpoint.step for checkpoint in checkpoints])
        return [checkpoint.step in kept for checkpoint in checkpoints]

    def close(self) -> None:
        """Waits until everything is written."""
        with self._explained():
            self._manager.wait_until_finished()
        self._manager.close()

    def _read(self, step: int, like: Mapping[str, Any], notes: bool = False) -> dict[str, Any]:
        """Reads some items, and verifies that they are the saved ones."""
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
        # After any exception of Orbax or the libraries below it: the files have changed.
        except Exception as error:
            raise DamagedCheckpoint(f"{where} is damaged ({_first_line(error)})") from error
        if wrong:
            raise DamagedCheckpoint(f"{where} is damaged (its {wrong[0]} are not those saved)")
        return items

    def _kept(self, steps: Sequence[int]) -> set[int | None]:
        """Selects the newest due steps, the best and the very newest."""
        due = sorted(step for step in steps if self._is_due(step))
        lasting = [step for step in steps if not self._is_end(step)]
        return {*due[-self._keep :], self._best(steps), self._best(lasting), max(steps, default=0)}

    def _best(self, steps: Sequence[int]) -> int | None:
        scores = self._scores()
        return best_step({step: scores[step] for step in steps if step in scores})

    def _put_aside(self, step: int) -> Path:
        """Moves a damaged checkpoint aside, because its step will be saved again."""
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
        # The C++ library below Orbax raises a ValueError with the system's message.
        except (OSError, ValueError) as error:
            # Not `steps`, which leaves out checkpoints that would have been deleted after this one.
            steps = [int(path.name) for path in self._directory.glob("*") if path.name.isdecimal()]
            kept = f"the last one, of step {max(steps)}, is whole" if steps else "there is none yet"
            raise UserError(
                f"cannot write a checkpoint into {self._directory} ({_first_line(error)}); {kept}: "
                "make room, or make the folder writable, and give the same command again"
            ) from error


def _check_room(directory: Path, num_bytes: int) -> None:
    """Fails if a folder cannot store a file of num_bytes bytes.

    An error before Orbax begins is clearer, and leaves no coroutine unawaited, for which Python
    would print a warning.
    """
    with tempfile.TemporaryFile(dir=directory) as file:
        # Not available on every system. Unlike the free space of a disk it respects quotas and
        # limits.
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(file.fileno(), 0, num_bytes)
            except OSError as error:
                needed = f"{error.strerror} for {num_bytes / 1e6:,.1f} MB"
                raise OSError(error.errno, needed) from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
