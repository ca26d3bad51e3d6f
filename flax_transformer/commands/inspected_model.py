"""Opens a trained model for the commands that look inside of it."""

import dataclasses
from pathlib import Path
from typing import Any

from flax_transformer.errors import UserError
from flax_transformer.experiment import Experiment
from flax_transformer.inspection.activations import activation_shapes
from flax_transformer.models.stacking import looped
from flax_transformer.tasks.task import Task, Variables
from flax_transformer.tasks.tasks import find_task
from flax_transformer.training.assemble import Weights, open_run


@dataclasses.dataclass(frozen=True)
class InspectedModel:
    """A trained model whose layers run in a loop, so that each has a name.

    Attributes:
        workdir: folder of its training.
        experiment: the trained experiment.
        task: its task.
        variables: of its model.
        step: last step of the checkpoints whose mean the variables are.
    """

    workdir: Path
    experiment: Experiment
    task: Task
    variables: Variables
    step: int

    @classmethod
    def open(cls, workdir: Path, weights: Weights) -> "InspectedModel":
        """Opens the model of a workdir."""
        run = open_run(workdir, weights)
        opened = cls(workdir, run.experiment, run.task, run.variables, run.steps[-1])
        if not run.experiment.model.scan_layers:
            return opened
        _, variables = looped(run.task.model, run.variables)
        task = opened.open_task(scan_layers=False)
        return dataclasses.replace(opened, task=task, variables=variables)

    def check_logits(self) -> None:
        """Rejects a model that predicts nothing.

        Raises:
            UserError: if it only gives vectors.
        """
        task = self.task
        names = activation_shapes(task.model, self.variables, task.given(), method=task.method)
        if "logits" not in names:
            raise UserError(
                f"{self.workdir} holds a model that gives vectors and predicts nothing: choose "
                "another one"
            )

    def open_task(self, **changes: Any) -> Task:
        """Opens the same task with changed fields of the model's config."""
        model = dataclasses.replace(self.task.model.config, **changes)
        experiment = dataclasses.replace(self.experiment, model=model)
        return find_task(experiment)[1].open(experiment, self.workdir, training=False)
