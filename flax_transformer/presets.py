"""Presets: named model sizes."""

import dataclasses
from typing import Any

from flax_transformer.errors import unknown_part
from flax_transformer.experiment import Experiment
from flax_transformer.models.table3 import table3
from flax_transformer.models.zoo import ZOO
from flax_transformer.modules.layer_options import ModelConfig
from flax_transformer.tasks.task import Task

OF_THE_DATA = ("image_size", "num_channels", "num_frames")  # fields of a model config


def presets_of(model: ModelConfig) -> dict[str, Any]:
    """The named sizes of this kind of model: name -> config.

    Example:
        >>> from flax_transformer.models import VisionConfig
        >>> sorted(presets_of(VisionConfig()))
        ['ViT-B/16', 'ViT-S/16']
    """
    return {name: x.config for name, x in ZOO.items() if type(x.config) is type(model)}


def apply_preset(experiment: Experiment, name: str) -> Experiment:
    """Sets the named model size of an experiment; a row of Table 3 also sets label smoothing.

    Fields that depend on the data, such as the image size, are kept.

    Raises:
        UserError: if the experiment's model does not have this preset.

    Example:
        >>> apply_preset(Experiment(), "D-label-smoothing-0.2").task.label_smoothing
        0.2
    """
    presets = presets_of(experiment.model)
    if name not in presets:
        raise unknown_part("--preset", name, presets)
    task: Any = experiment.task
    if name in table3():
        task = dataclasses.replace(task, label_smoothing=table3()[name].label_smoothing)
    kept = {
        field: getattr(experiment.model, field)
        for field in OF_THE_DATA
        if hasattr(experiment.model, field)
    }
    model = dataclasses.replace(presets[name], **kept)
    return dataclasses.replace(experiment, model=model, task=task)


def models_of(task: type[Task]) -> list[type]:
    """Returns the config classes of the models that a task can train.

    Example:
        >>> from flax_transformer.tasks.tasks import TASKS
        >>> [kind.__name__ for kind in models_of(TASKS["language_modeling"])]
        ['DecoderOnlyConfig']
    """
    kinds = dict.fromkeys(type(entry.config) for entry in ZOO.values())
    return [kind for kind in kinds if (kind.reads, kind.gives) == task.takes]
