"""Compares the mean of the last checkpoints with single ones, on the validation split."""

import jax

from flax_transformer.evaluation.metric import shown
from flax_transformer.experiment import Experiment
from flax_transformer.tasks.task import Task
from flax_transformer.training.checkpoints.checkpoints import Checkpoints
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.devices import Devices
from flax_transformer.training.metrics import goodness, is_better, validation_lines


def advice_against_mean(
    task: Task,
    checkpoints: Checkpoints,
    workdir: Workdir,
    experiment: Experiment,
    devices: Devices,
) -> str | None:
    """Advises against the averaged weights if the last checkpoint has a better validation score.

    This happens in short trainings: their earlier checkpoints are much worse. The last checkpoint
    was not chosen by its score, so the comparison is fair.

    Args:
        task: the task of the experiment, which scores the mean.
        checkpoints: checkpoints of a training that has ended.
        workdir: folder of the training, with the scores of single checkpoints.
        experiment: the experiment.
        devices: of the training.

    Returns:
        One line; None if the mean is not worse, or if it is of one checkpoint.
    """
    score = experiment.training.score
    lines = validation_lines(workdir.metrics, score)
    if len(checkpoints.last_steps()) < 2 or not lines:
        return None
    shapes = jax.eval_shape(task.init, jax.random.key(0))
    variables, steps = checkpoints.mean_variables(shapes, checkpoints.last_steps())
    if not steps:
        return None
    # Placed as in the evaluations of the training: nothing is compiled again.
    placed = devices.place_for_use(variables)
    scored = task.evaluate(placed, experiment.data.validation_split, is_quick=True)
    mean = {name: found.value for name, found in scored.scores.items()}
    last = max(lines)
    if not is_better(lines[last], mean, score):
        return None
    step, best = last, checkpoints.best_step()
    if best is not None and is_better(lines[best], lines[last], score):
        step = best
    weights = "best" if step == best else "last"
    name = list(goodness(lines[step], score))[-1]
    return (
        f"the mean of the last {len(steps)} checkpoints is worse than the checkpoint of step "
        f"{step:,} (validation {name} {shown(name, mean[name])}, not "
        f"{shown(name, lines[step][name])}): give --weights {weights} to the next commands, "
        "or train with fewer --training.keep-checkpoints"
    )
