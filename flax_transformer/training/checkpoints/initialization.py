"""Initializes a training with the weights of another run instead of random ones."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax

from flax_transformer.errors import UserError, unknown
from flax_transformer.experiment import Experiment
from flax_transformer.tasks.task import TOKENIZER, Task, Variables
from flax_transformer.training.assemble import open_run
from flax_transformer.training.checkpoints.checkpoint_contents import (
    leaf_name,
    named_leaves,
    shapes,
    shortened,
)
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.lora import Base, freeze

# The part of every model that depends on the number of classes: only its shape may differ.
HEAD = "classifier"


class TakenOver(NamedTuple):
    """The initial variables of a training.

    Attributes:
        variables: variables of the model.
        told: one line that reports which variables were taken from the run.
        fresh: names of the variables that were not.
        base: the parameters to be frozen, if adapters are trained.
    """

    variables: Variables
    told: str
    fresh: frozenset[str] = frozenset()
    base: Base | None = None


def first_variables(task: Task, experiment: Experiment) -> TakenOver:
    """Returns random variables of a task, or those of the experiment's `init_from`.

    Raises:
        UserError: see `take_over` and `freeze`.
    """
    drawn = task.init(jax.random.key(experiment.seed))
    if experiment.init_from is None:
        return TakenOver(drawn, "")
    taken, lora = take_over(drawn, Path(experiment.init_from)), experiment.training.lora
    if not lora.rank:
        return taken
    return taken._replace(base=freeze(taken.variables, taken.fresh, lora))


def take_over(drawn: Variables, source: Path) -> TakenOver:
    """Replaces random variables by those of a run with the same name and shape.

    Args:
        drawn: the random variables of the model to be trained.
        source: workdir of the run; its averaged weights are read.

    Raises:
        UserError: if the run does not exist, has no name in common with this model except in the
            classes' head, or has a common name with another shape.
    """
    check_run(source)
    given = open_run(source, "average").variables
    wanted, found = shapes(drawn), shapes(given)
    common = [name for name in wanted if name in found]
    wrong = [name for name in common if wanted[name] != found[name] and _module(name) != HEAD]
    if wrong:
        listed = shortened(f"{name} {found[name]} for {wanted[name]}" for name in sorted(wrong))
        raise UserError(
            f"--init-from {source} holds weights of other shapes ({listed}): give this model the "
            "settings of that one, or another --init-from"
        )
    taken = {name for name in common if wanted[name] == found[name]}
    if not {_module(name) for name in taken} - {HEAD}:
        raise UserError(
            f"--init-from {source} holds no weights of this kind of model, but "
            f"{_modules(found)} for {_modules(wanted)}: give another --init-from"
        )
    leaves = named_leaves(given)
    variables = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaves[leaf_name(path)] if leaf_name(path) in taken else leaf, drawn
    )
    line = _told(source, named_leaves(drawn), taken, found)
    return TakenOver(variables, line, frozenset(wanted.keys() - taken))


def check_run(source: Path) -> None:
    """Rejects a folder without a run, and suggests a run next to it."""
    if Workdir(source).holds_run():
        return
    if Workdir(source).is_published():
        raise UserError(
            f"--init-from {source} is a published model, not a workdir: make one of it with "
            f"flax-transformer import {source} --workdir DIR"
        )
    beside = [str(path) for path in source.parent.glob("*") if Workdir(path).holds_run()]
    if beside:
        raise unknown("run of --init-from", str(source), beside)
    raise UserError(f"--init-from {source} holds no run: give the --workdir of a training")


def tokenizer_folder(workdir: Path, source: Path | None) -> Path:
    """Returns the folder of the tokenizer: the workdir itself, or for a new workdir the source.

    Raises:
        UserError: if the source does not exist, or the tokenizers of source and workdir differ.
    """
    if source is None or Workdir(workdir).saved_steps():
        return workdir
    check_run(source)
    own, given = workdir / TOKENIZER, source / TOKENIZER
    if not own.exists():
        return source
    if given.exists() and own.read_bytes() != given.read_bytes():
        raise UserError(
            f"{workdir} has another tokenizer than --init-from {source}: choose another --workdir"
        )
    return workdir


def _told(source: Path, drawn: dict[str, Any], taken: set[str], found: Iterable[str]) -> str:
    size = {name: math.prod(leaf.shape) for name, leaf in drawn.items()}
    parts = [
        f"of {source}: {sum(map(size.__getitem__, taken)):,} of {sum(size.values()):,} parameters"
    ]
    if fresh := size.keys() - taken:
        parts.append(f"drawn: {_modules(fresh)}")
    if left := set(found) - taken:
        parts.append(f"left there: {_modules(left)}")
    return "; ".join(parts)


def _module(name: str) -> str:
    """Returns the module of a path: encoder_0 for params/encoder_0/norm/scale."""
    return name.split("/")[1]


def _modules(names: Iterable[str]) -> str:
    return shortened(sorted({_module(name) for name in names}))
