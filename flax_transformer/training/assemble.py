"""From an experiment to its parts: the model as a task, and a translator of it."""

from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import jax

from flax_transformer.data.tokenizer import Tokenizer
from flax_transformer.errors import UserError, unknown
from flax_transformer.experiment import Experiment
from flax_transformer.models.encoder_decoder import EncoderDecoder
from flax_transformer.tasks.translation import Translation
from flax_transformer.tasks.translator import Translator
from flax_transformer.training.checkpoint import Checkpoints
from flax_transformer.training.config import TrainingConfig
from flax_transformer.training.metrics import validation_scores
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


def open_checkpoints(
    workdir: Workdir, training: TrainingConfig, is_reader: bool = False
) -> Checkpoints:
    """Opens the checkpoints of a run; `is_reader` while another process may train."""
    return Checkpoints(
        workdir.checkpoints,
        training.keep_checkpoints,
        training.saves_at,
        partial(validation_scores, workdir.metrics, training.best_score),
        is_reader,
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
    if weights not in get_args(Weights):
        raise unknown("weights", weights, get_args(Weights))
    workdir = Workdir(path)
    experiment = workdir.load()
    tokenizer = Tokenizer.load(workdir.tokenizer)
    task = make_task(experiment, tokenizer)
    checkpoints = open_checkpoints(workdir, experiment.training, is_reader=True)
    shapes = jax.eval_shape(task.init, jax.random.key(0))
    variables, steps = _read_variables(checkpoints, shapes, weights, path)
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


def _read_variables(
    checkpoints: Checkpoints, shapes: Any, weights: Weights, path: Path
) -> tuple[Any, list[int]]:
    """The variables, and the steps whose mean they are."""
    steps = checkpoints.steps()
    if not steps:
        raise UserError(f"{path} holds no checkpoint yet: run its training again to continue it")
    last, best = checkpoints.last_steps(), checkpoints.best_step()
    chosen = {
        "average": last,
        "best": [last[-1] if best is None else best],
        "last": last[-1:],
    }[weights]
    older = ([step] for step in reversed(steps) if step < chosen[0])
    for candidates in (chosen, *older):
        variables, read = checkpoints.mean_variables(shapes, candidates)
        if read:
            return variables, read
    raise UserError(f"all checkpoints of {path} are damaged: train it again in another folder")
