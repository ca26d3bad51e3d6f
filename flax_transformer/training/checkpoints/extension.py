"""Which settings of a run may change when it is resumed."""

import json
from pathlib import Path

from flax_transformer.errors import UserError
from flax_transformer.experiment import Experiment
from flax_transformer.training.metrics import VALIDATION, whole_lines
from flax_transformer.training.optimizer.optimizer_config import FALLING
from flax_transformer.training.training_config import TrainingConfig
from flax_transformer.whole_files import written_whole

# They decide when something is shown, and do not change parameters, scores or checkpoints.
FREE = ("training.log_every_steps",)
NUM_STEPS = "training.num_steps"


def check_settings(path: Path, found: Experiment, wanted: Experiment) -> None:
    """Makes sure that a run can go on with the settings that are wanted.

    Only the intervals of what is shown may differ, and the number of steps may grow if the learning
    rate does not depend on it. The run then ends as if it had begun with the larger number.

    Args:
        path: of the workdir.
        found: what it holds.
        wanted: what is to be trained.

    Raises:
        UserError: says what differs, and what to do.
    """
    before, after = _flat(found.to_json()), _flat(wanted.to_json())
    differing = [
        name
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name) and name not in FREE
    ]
    if not differing:
        return
    if differing != [NUM_STEPS]:
        listed = ", ".join(f"{name} {before.get(name)!r}" for name in differing)
        raise UserError(
            f"{path} holds another experiment ({listed}): choose another --workdir, or the "
            "settings with which that run began"
        )
    steps, more = found.training.num_steps, wanted.training.num_steps
    if more < steps:
        raise UserError(
            f"{path} holds a training of {steps:,} steps, more than --training.num-steps "
            f"{more}: give {steps} or more, or choose another --workdir"
        )
    schedule = found.optimizer.schedule
    if schedule in FALLING:
        raise UserError(
            f"{path} cannot be extended from {steps:,} to --training.num-steps {more}: with "
            f"--optimizer.schedule {schedule} every learning rate depends on the last step; choose "
            f"another --workdir, and --init-from {path} to begin with its weights"
        )


def forget_end(metrics: Path, training: TrainingConfig) -> None:
    """Drops what was measured only because the training ended, before it is made longer.

    Args:
        metrics: the lines of JSON of the run.
        training: with the number of steps that it had.
    """
    step = training.num_steps
    ending = {"train": training.logs_as_last(step), VALIDATION: training.evaluates_as_last(step)}

    def is_kept(line: dict) -> bool:
        return line["step"] != step or not ending.get(line["kind"], False)

    kept = [line for line in whole_lines(metrics) if is_kept(json.loads(line))]
    if any(ending.values()) and metrics.exists():
        with written_whole(metrics) as file:
            file.write_text("".join(kept))


def _flat(tree: dict, prefix: str = "") -> dict[str, object]:
    """Names the leaves of nested dictionaries with dots."""
    leaves = {}
    for name, value in tree.items():
        nested = isinstance(value, dict)
        leaves |= _flat(value, f"{prefix}{name}.") if nested else {prefix + name: value}
    return leaves
