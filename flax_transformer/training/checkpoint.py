"""Checkpoints on disk, by Orbax: written in the background, the last few and the best kept."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from flax_transformer.training.step import TrainState, split_variables

SCORE = "score"


class Checkpoints:
    """The checkpoints of one run.

    Each holds the model's variables and the optimizer's state. The position in the data needs no
    item of its own: the batch of a step is a function of the seed and the step.

    Args:
        directory: folder of the checkpoints, made if it does not exist.
        keep: newest ones kept, beside the one with the best score.
    """

    def __init__(self, directory: Path, keep: int):
        # Orbax tells every step of every save at level INFO, and of metrics that one lacks.
        logging.getLogger("absl").setLevel(logging.ERROR)
        policies = checkpoint_managers
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policies.AnyPreservationPolicy(
                [
                    policies.LatestN(keep),
                    policies.BestN(
                        get_metric_fn=lambda metrics: metrics[SCORE],
                        n=1,
                        keep_checkpoints_without_metrics=False,
                    ),
                ]
            ),
            best_fn=lambda metrics: metrics[SCORE],
        )
        self._manager = ocp.CheckpointManager(directory.absolute(), options=options)
        self._keep = keep

    def save(self, state: TrainState, score: float | None = None) -> None:
        """Writes a checkpoint in the background.

        Args:
            state: of the training.
            score: on the validation split, if it was evaluated; higher is better.
        """
        host = jax.device_get(state)
        self._manager.save(
            int(host.step),
            args=ocp.args.Composite(
                variables=ocp.args.StandardSave(host.variables),
                optimizer=ocp.args.StandardSave(host.optimizer_state),
            ),
            metrics=None if score is None else {SCORE: score},
        )

    def steps(self) -> list[int]:
        """The steps of the checkpoints there are, the oldest first."""
        return sorted(self._manager.all_steps())

    def last_steps(self) -> list[int]:
        """The steps of the newest checkpoints, whose mean is the averaged model."""
        return self.steps()[-self._keep :]

    def best_step(self) -> int | None:
        """The step of the checkpoint with the best score."""
        return self._manager.best_step()

    def restore(self, state: TrainState, step: int) -> TrainState:
        """Reads a checkpoint to continue from.

        Args:
            state: of the same structure and shapes.
            step: of the checkpoint.

        Returns:
            The state as it was saved.
        """
        host = jax.tree.map(np.asarray, state)
        items = self._manager.restore(
            step,
            args=ocp.args.Composite(
                variables=ocp.args.StandardRestore(host.variables),
                optimizer=ocp.args.StandardRestore(host.optimizer_state),
            ),
        )
        return TrainState(jnp.int32(step), *split_variables(items["variables"]), items["optimizer"])

    def mean_variables(self, like: Any, steps: Sequence[int]) -> Any:
        """Averages the parameters, and the running statistics if there are any, of checkpoints.

        Args:
            like: pytree of the variables' shapes.
            steps: of the checkpoints.

        Returns:
            The mean of each variable.

        Reference:
            Vaswani et al. 2017, section 6.1.
        """
        total = None
        for step in steps:
            restored = self._manager.restore(
                step, args=ocp.args.Composite(variables=ocp.args.StandardRestore(like))
            )
            part = jax.tree.map(lambda x: np.asarray(x, np.float64), restored["variables"])
            total = part if total is None else jax.tree.map(np.add, total, part)
        return jax.tree.map(lambda x, shape: (x / len(steps)).astype(shape.dtype), total, like)

    def close(self) -> None:
        """Waits until everything is written."""
        self._manager.wait_until_finished()
        self._manager.close()
