"""How two finished runs of one experiment differ, but for the time they took."""

import contextlib
import json
from pathlib import Path
from typing import Any

from flax_transformer.training.assemble import open_checkpoints
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.metrics import PER_SECOND, scores_since_best, validation_scores


def differences(first: Path, second: Path) -> list[str]:
    """Compares all that two trainings leave behind.

    That is: the experiment and what its task keeps, byte for byte; the steps of the checkpoints,
    the best of them and the averaged ones; every array of every checkpoint, bit for bit, which
    holds random keys and the position in the data too, as both follow from the seed and the step;
    every line of metrics but for the speed; and how far early stopping has come.

    Returns:
        A line for each difference; none if there is none.
    """
    one, other = _left_behind(first), _left_behind(second)
    return [
        f"{name}: {_shown(one.get(name))} in {first}, {_shown(other.get(name))} in {second}"
        for name in {**one, **other}
        if one.get(name) != other.get(name)
    ]


def _left_behind(path: Path) -> dict[str, Any]:
    workdir = Workdir(path)
    training = workdir.load().training
    scores = validation_scores(workdir.metrics, training.score)
    left: dict[str, Any] = {
        **{file.name: file.read_text() for file in path.glob("*.json") if file != workdir.times},
        "evaluations since the best": scores_since_best(scores),
    }
    for number, line in enumerate(workdir.metrics.read_text().splitlines()):
        values = json.loads(line).items()
        measured = {name: value for name, value in values if not name.endswith(PER_SECOND)}
        left[f"line {number + 1} of metrics.jsonl"] = measured
    with contextlib.closing(open_checkpoints(workdir, training, is_reader=True)) as checkpoints:
        left["steps of the checkpoints"] = checkpoints.steps()
        left["averaged steps"] = checkpoints.last_steps()
        left["best step"] = checkpoints.best_step()
        for step in checkpoints.steps():
            for item, contents in checkpoints.contents(step).items():
                left[f"{item} of step {step}"] = contents
    return left


def _shown(value: Any) -> str:
    """A value, or as much of it as fits a line."""
    text = json.dumps(value) if value is not None else "nothing"
    return text if len(text) <= 60 else f"{text[:57]}..."
