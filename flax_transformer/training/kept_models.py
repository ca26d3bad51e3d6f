"""The model of a training at each checkpoint that its workdir keeps."""

from pathlib import Path

import jax

from flax_transformer.experiment import Experiment
from flax_transformer.tasks.task import Task, Variables
from flax_transformer.tasks.tasks import find_task
from flax_transformer.training.assemble import any_steps, open_checkpoints, usable_here
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.parallel import place_for_use


class KeptModels:
    """A trained task, and the variables of its model at every kept checkpoint.

    All checkpoints have one task, so what is compiled for the first serves the others.

    Args:
        path: the workdir.

    Attributes:
        experiment: the trained experiment.
        task: made from the experiment.
        steps: steps of the checkpoints, the oldest first.
        shapes: of the variables.

    Raises:
        UserError: if the folder has no trained model.
    """

    experiment: Experiment
    task: Task
    steps: list[int]
    shapes: Variables

    def __init__(self, path: Path):
        workdir = Workdir(path)
        self.experiment = usable_here(workdir.load())
        self.steps = any_steps(path, workdir.saved_steps())
        self.task = find_task(self.experiment)[1].open(self.experiment, path, training=False)
        self._checkpoints = open_checkpoints(workdir, self.experiment.training, is_reader=True)
        self.shapes = jax.eval_shape(self.task.init, jax.random.key(0))

    def read(self, step: int) -> Variables | None:
        """Returns the variables of a checkpoint; None, with a warning, if it is damaged."""
        variables, read = self._checkpoints.mean_variables(self.shapes, [step])
        return place_for_use(variables) if read else None

    def close(self) -> None:
        """Closes the checkpoints."""
        self._checkpoints.close()
