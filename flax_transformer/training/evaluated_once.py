"""Evaluates a training on a split, unless its workdir has the same evaluation."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from flax_transformer.experiment import Experiment
from flax_transformer.training.assemble import Weights, chosen_steps, evaluate, open_checkpoints
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.durability.data_fingerprints import DataFiles
from flax_transformer.training.kept_scores import (
    Evaluation,
    kept_lines,
    read_evaluation,
    scores_name,
)


def evaluate_once(
    path: Path, split: str, weights: Weights, command: Sequence[str] = ()
) -> Evaluation:
    """Returns the evaluation of a training on a split of its data set.

    The files of an earlier evaluation are used if it had the same weights, the same search, and the
    same type of computation.

    Args:
        path: the workdir.
        split: of the data set.
        weights: which checkpoints; see `load`.
        command: the words of the command line, if any, to store with new scores.

    Raises:
        UserError: as `evaluate`.
    """
    workdir = Workdir(path)
    experiment = workdir.load()
    DataFiles(path, experiment.data).check()
    kept = read_evaluation(workdir.scores / scores_name(split, weights, experiment.decoding))
    if kept is not None and _is_of(kept, workdir, experiment, split, weights):
        return kept
    record, scored = evaluate(path, split, command=command, weights=weights)
    return Evaluation(record.to_json(), kept_lines(scored.outputs))


def _is_of(
    kept: Evaluation, workdir: Workdir, experiment: Experiment, split: str, weights: Weights
) -> bool:
    """Returns whether an evaluation has the current weights and settings."""
    checkpoints = open_checkpoints(workdir, experiment.training, is_reader=True)
    steps = chosen_steps(checkpoints, weights) if checkpoints.steps() else []
    checkpoints.close()
    decoding = experiment.decoding
    settings = {
        "split": split,
        "decoding": decoding and dataclasses.asdict(decoding),
        "dtype": experiment.model.dtype,
        "checkpoint_step": steps[-1] if steps else None,
        "num_averaged": len(steps),
    }
    settings = json.loads(json.dumps(settings))  # JSON has lists for tuples
    return settings.items() <= kept.record.items()
