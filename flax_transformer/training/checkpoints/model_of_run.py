"""The model of another run, as the model of a training that begins with its weights."""

import dataclasses
from pathlib import Path

from flax_transformer.experiment import Experiment
from flax_transformer.training.checkpoints.workdir import Workdir

# Options of a model that do not change what its weights mean: each training has its own.
OF_THE_TRAINING = (
    *("attention_dropout_rate", "feed_forward_dropout_rate", "residual_dropout_rate"),
    *("token_dropout_rate", "balancing_weight", "pooling", "remat"),
    *("attention_implementation", "dtype"),
)


def take_model(experiment: Experiment, source: str) -> Experiment:
    """Gives an experiment the model of a run, so that the weights of the run fit.

    Options that belong to a training, such as dropout and pooling, stay those of the experiment.

    Args:
        experiment: to change; it is unchanged if its model is of another kind.
        source: workdir of the run. If it has no run, nothing changes: a training that begins needs
            the run and reports that it is missing, and one that continues does not need it.
    """
    workdir = Workdir(Path(source).expanduser())
    if not source or not workdir.holds_run():
        return experiment
    model = workdir.load().model
    if type(model) is not type(experiment.model):
        return experiment
    kept = {
        name: getattr(experiment.model, name) for name in OF_THE_TRAINING if hasattr(model, name)
    }
    return dataclasses.replace(experiment, model=dataclasses.replace(model, **kept))
