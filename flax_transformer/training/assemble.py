"""From an experiment to its parts: the model as a task, and a translator of it."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax

from flax_transformer.data.tokenizer import Tokenizer
from flax_transformer.errors import UserError
from flax_transformer.experiment import Experiment
from flax_transformer.models.encoder_decoder import EncoderDecoder
from flax_transformer.tasks.translation import Translation
from flax_transformer.tasks.translator import Translator
from flax_transformer.training.checkpoint import Checkpoints
from flax_transformer.training.workdir import Workdir

Weights = Literal["average", "best", "last"]


def make_task(experiment: Experiment, tokenizer: Tokenizer) -> Translation:
    """Makes the task of an experiment; its variables are drawn or read later."""
    return Translation(experiment.task, EncoderDecoder(experiment.model, tokenizer.vocab_size))


def make_translator(
    experiment: Experiment, task: Translation, tokenizer: Tokenizer, variables: Any
) -> Translator:
    """Makes a translator of given parameters and statistics."""
    return Translator(
        task.model, variables, tokenizer, experiment.decoding, experiment.data.max_length
    )


class TrainedRun(NamedTuple):
    """A training that can be used.

    Attributes:
        experiment: what was trained.
        task: its model and loss.
        translator: the model with its variables.
        steps: of the checkpoints whose mean these variables are.
    """

    experiment: Experiment
    task: Translation
    translator: Translator
    steps: list[int]


def open_run(path: Path, weights: Weights) -> TrainedRun:
    """Reads a trained model from its workdir; see `load`."""
    workdir = Workdir(path)
    experiment = workdir.load()
    tokenizer = Tokenizer.load(workdir.tokenizer)
    task = make_task(experiment, tokenizer)
    checkpoints = Checkpoints(workdir.checkpoints, experiment.training.keep_checkpoints)
    steps = _checkpoint_steps(checkpoints, weights, path)
    shapes = jax.eval_shape(task.init, jax.random.key(0))
    variables = checkpoints.mean_variables(shapes, steps)
    checkpoints.close()
    translator = make_translator(experiment, task, tokenizer, jax.device_put(variables))
    return TrainedRun(experiment, task, translator, steps)


def load(workdir: str | Path, weights: Weights = "average") -> Translator:
    """Loads a trained model once, to translate many strings.

    `load("runs/number_words").translate("twenty-three")` gives "dreiundzwanzig".

    Args:
        workdir: folder of a training.
        weights: the mean of the last checkpoints, the one with the best validation score, or the
            last one.

    Returns:
        The translator, with the training's decoding settings.

    Raises:
        UserError: if the folder holds no trained model.
    """
    return open_run(Path(workdir), weights).translator


def _checkpoint_steps(checkpoints: Checkpoints, weights: Weights, path: Path) -> list[int]:
    last = checkpoints.last_steps()
    if not last:
        raise UserError(f"{path} holds no checkpoint yet: run its training again to continue it")
    if weights == "average":
        return last
    best = checkpoints.best_step() if weights == "best" else None
    return [last[-1] if best is None else best]
