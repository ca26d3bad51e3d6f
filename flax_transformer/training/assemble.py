"""Loads a trained model from a workdir, and scores it on a split."""

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

import jax

from flax_transformer.data.datasets.own_files import OwnFiles
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.errors import UserError, option, path_of, unknown
from flax_transformer.evaluation.report import Record
from flax_transformer.experiment import Experiment
from flax_transformer.functional.kernels.attention_forms import has_gpu
from flax_transformer.tasks.task import Predictor, Scored, Task, Variables
from flax_transformer.tasks.tasks import find_task
from flax_transformer.training.checkpoints.checkpoints import Checkpoints
from flax_transformer.training.checkpoints.kept_weights import read_weights
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.durability.data_fingerprints import DataFiles
from flax_transformer.training.kept_scores import scores_name, write_evaluation
from flax_transformer.training.lora import Base
from flax_transformer.training.metrics import agreed_scores, deciding_score, validation_scores
from flax_transformer.training.parallel import place_for_use
from flax_transformer.training.processes import is_first
from flax_transformer.training.quantized_weights import EIGHT_BITS, UseType, quantize_weights
from flax_transformer.training.training_config import TrainingConfig

Weights = Literal["average", "best", "last"]


def open_checkpoints(
    workdir: Workdir, training: TrainingConfig, is_reader: bool = False
) -> Checkpoints:
    """Opens the checkpoints of a run; `is_reader` if another process may be training."""
    base = None
    if training.lora.rank and (workdir.saved_steps() or not is_reader):
        base = Base(read_weights(workdir.base), training.lora)
    return Checkpoints(
        workdir.checkpoints,
        training.keep_checkpoints,
        training.saves_at,
        partial(validation_scores if is_reader else agreed_scores, workdir.metrics, training.score),
        is_reader,
        training.evaluates_as_last,
        base,
    )


class TrainedRun(NamedTuple):
    """A trained model, ready for use.

    Attributes:
        experiment: the trained experiment.
        task: task made from the experiment.
        variables: variables of the model.
        steps: steps of the checkpoints whose mean these variables are.
    """

    experiment: Experiment
    task: Task
    variables: Variables
    steps: list[int]


def open_run(
    path: str | Path,
    weights: Weights = "average",
    decoding: DecodingConfig | None = None,
    dtype: UseType | None = None,
    task_options: Mapping[str, Any] = MappingProxyType({}),
) -> TrainedRun:
    """Reads a trained model from its workdir; see `load`.

    Args:
        path: the workdir.
        weights: see `load`.
        decoding: see `load`.
        dtype: see `load`.
        task_options: fields of the task's config to replace for an evaluation.
    """
    if weights not in get_args(Weights):
        raise unknown("--weights", weights, get_args(Weights))
    if dtype not in (None, *get_args(UseType)):
        raise unknown("--dtype", dtype, get_args(UseType))
    path = path_of("the workdir", path)
    workdir = Workdir(path)
    experiment = workdir.load()
    if dtype is not None:
        computes = "float32" if dtype == EIGHT_BITS else dtype
        model = dataclasses.replace(experiment.model, dtype=computes)
        experiment = dataclasses.replace(experiment, model=model)
    if decoding is not None:
        experiment = dataclasses.replace(experiment, decoding=decoding)
    experiment = usable_here(experiment)
    if task_options:
        experiment = _with_task_options(experiment, task_options)
    task = find_task(experiment)[1].open(experiment, path, training=False)
    if weights == "best":
        _warn_of_another_score(workdir, experiment.training.score)
    checkpoints = open_checkpoints(workdir, experiment.training, is_reader=True)
    shapes = jax.eval_shape(task.init, jax.random.key(0))
    variables, steps = _read_variables(checkpoints, shapes, weights, path)
    checkpoints.close()
    if dtype == EIGHT_BITS:
        variables = quantize_weights(variables)
    return TrainedRun(experiment, task, place_for_use(variables), steps)


def usable_here(experiment: Experiment) -> Experiment:
    """Replaces an implementation of attention that this machine does not have, with a warning."""
    if experiment.model.attention_implementation != "cudnn" or has_gpu():
        return experiment
    warnings.warn("attention by cudnn needs an NVIDIA GPU: auto is used", stacklevel=4)
    model = dataclasses.replace(experiment.model, attention_implementation="auto")
    return dataclasses.replace(experiment, model=model)


def _with_task_options(experiment: Experiment, options: Mapping[str, Any]) -> Experiment:
    known = {field.name for field in dataclasses.fields(experiment.task)}
    for name in options:
        if name not in known:
            task, _ = find_task(experiment)
            raise UserError(f"{task} has no {option(name)}: leave it out")
    task = dataclasses.replace(experiment.task, **options)
    return dataclasses.replace(experiment, task=task)


def _warn_of_another_score(workdir: Workdir, name: str) -> None:
    decides = deciding_score(workdir.metrics, name)
    if decides != name:
        warnings.warn(
            f"{name} was 0 at every evaluation: the best checkpoint is the one with the best "
            f"{decides}",
            stacklevel=3,
        )


def load(
    workdir: str | Path,
    weights: Weights = "average",
    decoding: DecodingConfig | None = None,
    dtype: UseType | None = None,
) -> Predictor:
    """Loads a trained model once for repeated use.

    `load("runs/number_words").translate("twenty-three")` returns "dreiundzwanzig".

    Args:
        workdir: folder of a training.
        weights: the mean of the last checkpoints, the one with the best validation score, or the
            last one.
        decoding: decoding options; by default those of the training.
        dtype: type of the computation, independent of the training's. Numbers in "bfloat16" have
            two to three significant digits; products take half the time or less on devices that
            support it. "int8": weights have 8 bits, see `quantize_weights`.

    Returns:
        The predictor of the task, such as a `Translator`.

    Raises:
        UserError: if the folder contains no trained model.
    """
    run = open_run(workdir, weights, decoding, dtype)
    return run.task.predictor(run.variables)


def load_for(
    command: str,
    workdir: Path,
    weights: Weights,
    decoding: DecodingConfig | None = None,
    dtype: UseType | None = None,
) -> Predictor:
    """Does the same as `load`, for a command that supports only some tasks.

    Raises:
        UserError: if the folder contains a model for another command.
    """
    check_command(command, workdir)
    return load(workdir, weights, decoding, dtype)


def check_command(command: str, workdir: Path) -> None:
    """Rejects a workdir with a model for another command, and names that command."""
    name, task = find_task(Workdir(workdir).load())
    if task.command != command:
        other = "" if task.trains else f", or train another task with --init-from {workdir}"
        raise UserError(
            f"{workdir} holds a model for {name}, which cannot {command}: use flax-transformer "
            f"{task.command} --workdir {workdir}{other}"
        )


def _read_variables(
    checkpoints: Checkpoints, shapes: Any, weights: Weights, path: Path
) -> tuple[Any, list[int]]:
    """Returns the variables, and the steps of the checkpoints whose mean they are."""
    steps = any_steps(path, checkpoints.steps())
    chosen = chosen_steps(checkpoints, weights)
    older = ([step] for step in reversed(steps) if step < chosen[0])
    for candidates in (chosen, *older):
        variables, read = checkpoints.mean_variables(shapes, candidates)
        if read:
            return variables, read
    raise all_damaged(path)


def any_steps(path: Path, steps: list[int]) -> list[int]:
    """Returns the steps of the checkpoints of a run; rejects a run without any."""
    if not steps:
        raise UserError(f"{path} holds no checkpoint yet: run its training again to continue it")
    return steps


def all_damaged(path: Path) -> UserError:
    """Makes the error for a run none of whose checkpoints can be read."""
    return UserError(f"all checkpoints of {path} are damaged: train it again in another folder")


def chosen_steps(checkpoints: Checkpoints, weights: Weights) -> list[int]:
    """Returns the steps of the checkpoints whose mean these weights are; there must be some."""
    last, best = checkpoints.last_steps(), checkpoints.best_step()
    chosen = {"average": last, "best": [last[-1] if best is None else best], "last": last[-1:]}
    return chosen[weights]


def evaluate(
    path: str | Path,
    split: str | OwnFiles | None = None,
    *,
    command: Sequence[str] = (),
    weights: Weights = "average",
    decoding: DecodingConfig | None = None,
    dtype: UseType | None = None,
    task_options: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[Record, Scored]:
    """Scores a model on a split or on other files, and writes scores and outputs into the workdir.

    Args:
        path: the workdir of a training.
        split: a split of its data set, or a user's own files; by default the held-out split.
        command: the words of the command line, if any, to store with the scores.
        weights: which checkpoints; see `load`.
        decoding: decoding options; by default those of the training.
        dtype: type of the computation; see `load`.
        task_options: fields of the task's config to replace, such as `bleu_tokenizer`.

    Returns:
        The contents written into the folder "scores", and everything that was scored.

    Raises:
        UserError: if the folder contains no trained model, the data set does not have the split, or
            the files do not fit the model, cannot be read, or have changed since the training.
    """
    path = path_of("the workdir", path)
    run = open_run(path, weights, decoding, dtype, task_options)
    if split is None:
        split = str(run.experiment.data.held_out_split)
    if isinstance(split, str):
        # Scores of changed files would not be comparable with those of the training.
        DataFiles(path, run.experiment.data).check()
    scored = run.task.evaluate(run.variables, split)
    record = _record(run, split, scored, command, dtype)
    changes = [str(value) for value in (dtype, *task_options.values()) if value is not None]
    name = "-".join([scores_name(split, weights, run.experiment.decoding), *changes])
    if is_first():
        write_evaluation(Workdir(path).scores / name, record, scored.outputs)
    return record, scored


def _record(
    run: TrainedRun,
    split: str | OwnFiles,
    scored: Scored,
    command: Sequence[str],
    dtype: UseType | None,
) -> Record:
    decoding = run.experiment.decoding
    return Record(
        split=split if isinstance(split, str) else None,
        decoding=decoding and dataclasses.asdict(decoding),
        dtype=dtype or run.experiment.model.dtype,
        checkpoint_step=run.steps[-1],
        num_averaged=len(run.steps),
        scores=scored.scores,
        details=dict(scored.details),
        files=split.paths() if isinstance(split, OwnFiles) else {},
        command=command,
        seed=run.experiment.seed,
    )
