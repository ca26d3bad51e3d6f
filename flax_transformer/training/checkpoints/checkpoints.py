"""Checkpoints by Orbax: written in the background; the newest and the best are kept."""

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from flax_transformer.errors import UserError, first_line
from flax_transformer.training.checkpoints.bit_sums import is_shared, own_bytes, sums
from flax_transformer.training.checkpoints.checkpoint_contents import (
    check_shapes,
    named_leaves,
    shapes,
)
from flax_transformer.training.checkpoints.checkpoint_place import (
    explained_access,
    has_no_access,
    move_aside,
)
from flax_transformer.training.checkpoints.disk_room import check_room, explained_writes
from flax_transformer.training.checkpoints.kept_steps import KeptSteps
from flax_transformer.training.lora import Base, divided, merged
from flax_transformer.training.metrics import Goodness
from flax_transformer.training.optimizer.update_rules import exchange_average
from flax_transformer.training.processes import from_first, gathered, together
from flax_transformer.training.step import TrainState, split_variables


class DamagedCheckpoint(Exception):
    """A checkpoint that cannot be read, or whose contents differ from the saved state."""


class Restored(NamedTuple):
    """The contents of a checkpoint: the state, and the notes of the training."""

    state: TrainState
    notes: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run.

    Each has the model's variables, the optimizer's state, sums of their bits, and notes of the
    training. The position in the data is not stored: the batch of a step is a function of the seed
    and the step. Orbax writes a checkpoint to a temporary place and moves it when it is complete.

    Only scheduled ("due") checkpoints count for averages, so the averages do not depend on where a
    training was interrupted. Others are kept until the next checkpoint. The best checkpoint is kept
    too. It is chosen among those that a longer training would also have scored, so that this
    training can be extended.

    Args:
        directory: folder of the checkpoints, absolute or in a bucket.
        keep: number of newest due checkpoints to keep, in addition to the best and the very newest.
        is_due: whether every training makes a checkpoint at a step.
        scores: returns the validation scores so far, by step; higher is better.
        is_reader: whether another process may be writing: nothing is made, moved or deleted.
        is_end: whether a step is scored only because the training ends there.
        base: the parameters that no checkpoint holds, if adapters are trained.
    """

    def __init__(
        self,
        directory: epath.Path,
        keep: int,
        is_due: Callable[[int], bool],
        scores: Callable[[], Mapping[int, Goodness]],
        is_reader: bool = False,
        is_end: Callable[[int], bool] = lambda step: False,
        base: Base | None = None,
    ):
        # Orbax logs every step of every save at level INFO, and every error before raising it.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        self._directory = directory
        self._kept = KeptSteps(keep, is_due, scores, is_end)
        self._is_reader, self.base = is_reader, base
        options = ocp.CheckpointManagerOptions(
            multiprocessing_options=_for_this_process() if is_reader else _for_all_processes(),
            read_only=is_reader,
            create=not is_reader,
            cleanup_tmp_directories=not is_reader,
            preservation_policy=None if is_reader else self._kept,
        )
        with explained_access(directory, "read"):
            self._manager = ocp.CheckpointManager(directory, options=options)

    def save(self, state: TrainState, notes: Mapping[str, Any]) -> None:
        """Writes a checkpoint in the background.

        Args:
            state: state of the training.
            notes: other JSON data that the training needs to continue.

        Raises:
            UserError: if this or the previous checkpoint cannot be written.
        """
        # Readers need the variables. If these are averaged, the optimizer's item therefore contains
        # the parameters instead of the average.
        _, optimizer_state = exchange_average(state.params, state.optimizer_state)
        items = {"variables": state.variables, "optimizer": optimizer_state}
        contents: dict[str, Any] = {
            name: {"sums": self._sums(item), "shapes": shapes(item)} for name, item in items.items()
        }
        contents["skipped"] = int(state.skipped)
        with explained_writes(self._directory):
            self._manager.wait_until_finished()  # unfinished writes need space too
            # Of several processes, one may have the last room.
            with together(), explained_writes(self._directory):
                check_room(self._directory, own_bytes(items))
            self._manager.save(
                int(state.step),
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
        return self._kept.last(self.steps()) or self.steps()[-1:]

    def best_step(self) -> int | None:
        """The step of the checkpoint with the best score."""
        return self._kept.best(self.steps())

    def restore(self, like: TrainState, step: int) -> Restored:
        """Reads a checkpoint to continue from.

        Args:
            like: a state with the same structure and shapes; arrays whose shape has a sharding are
                restored to these devices, each part by its process.
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
        for step in set(self.steps()) - self._kept.of(self.steps()):
            self._manager.delete(step)

    def close(self) -> None:
        """Waits until everything is written."""
        with explained_writes(self._directory):
            self._manager.wait_until_finished()
            self._manager.close()

    def _read(self, step: int, like: Mapping[str, Any], notes: bool = False) -> dict[str, Any]:
        """Reads some items, and verifies that they are the saved ones."""
        where = f"the checkpoint {self._directory / str(step)}"
        targets = jax.tree.map(_target, {**like})
        args: dict[str, Any] = {n: ocp.args.StandardRestore(item) for n, item in targets.items()}
        if notes:
            args["notes"] = ocp.args.JsonRestore()
        contents, items, cause = {}, {}, None
        try:
            contents = self.contents(step)
            for name, item in like.items():
                check_shapes(contents[name]["shapes"], shapes(item), where)
            items = {**self._manager.restore(step, args=ocp.args.Composite(**args))}
            items["skipped"] = contents["skipped"]
        except UserError:
            raise
        # After any exception of Orbax or the libraries below it: the files have changed.
        except Exception as error:
            cause = error
        said = cause and (first_line(cause), has_no_access(self._directory, cause))
        for line, is_unknown in filter(None, self._of_all(said)):
            if is_unknown:
                raise UserError(f"cannot read {where} ({line}): try again later") from cause
            raise DamagedCheckpoint(f"{where} is damaged ({line})") from cause
        for name in like:
            # Earlier versions saved another digest, which is not verified any more.
            saved = contents[name].get("sums")
            if saved is not None and saved != self._sums(items[name]):
                raise DamagedCheckpoint(f"{where} is damaged (its {name} are not those saved)")
        return items

    def _of_all(self, value: Any) -> list[Any]:
        """Returns the values of all processes that use these checkpoints together."""
        return [value] if self._is_reader else gathered(value)

    def _sums(self, tree: Any) -> dict[str, int]:
        """Returns `sums`, also of arrays that several processes share."""
        own, leaves = sums(tree), named_leaves(tree)
        parts = self._of_all(own)
        return {
            name: sum(part[name] for part in parts) % 2**64 if is_shared(leaves[name]) else number
            for name, number in own.items()
        }

    def _put_aside(self, step: int) -> str:
        """Moves a damaged checkpoint aside, because its step will be saved again."""
        aside = from_first(lambda: move_aside(self._directory / str(step)))
        self._manager.reload()
        return aside


def _for_this_process() -> Any:
    own = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process_{own}"
    )


def _for_all_processes() -> Any:
    return ocp.options.MultiprocessingOptions()


def _target(shape: Any) -> Any:
    """Returns what Orbax restores: an array on devices, or one of NumPy."""
    if getattr(shape, "sharding", None) is not None:
        return shape
    return np.empty(shape.shape, shape.dtype)
