"""A training that begins with the weights of another run instead of random ones."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax

from flax_transformer.errors import UserError, unknown
from flax_transformer.tasks.task import TOKENIZER, Variables
from flax_transformer.training.assemble import open_run
from flax_transformer.training.checkpoints.checkpoint_contents import (
    leaf_name,
    named_leaves,
    shapes,
    shortened,
)
from flax_transformer.training.checkpoints.workdir import Workdir

# The part of every model whose shape depends on the classes: the only shape that may differ.
HEAD = "classifier"


class TakenOver(NamedTuple):
    """The variables that a training begins with.

    Attributes:
        variables: of the model.
        told: which of them were taken over, in a line.
    """

    variables: Variables
    told: str


def take_over(drawn: Variables, source: Path) -> TakenOver:
    """Replaces drawn variables by those of a run that have the same name and shape.

    Args:
        drawn: the variables of the model that is to be trained.
        source: workdir of the run, whose averaged weights are read.

    Raises:
        UserError: if there is no such run, nothing of it but the classes' head has a name of this
            model, or what has is of another shape.
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
    return TakenOver(variables, _told(source, named_leaves(drawn), taken, found))


def check_run(source: Path) -> None:
    """Refuses a folder without a run, and names one beside it that is meant perhaps."""
    if Workdir(source).holds_run():
        return
    beside = [str(path) for path in source.parent.glob("*") if Workdir(path).holds_run()]
    if beside:
        raise unknown("run of --init-from", str(source), beside)
    raise UserError(f"--init-from {source} holds no run: give the --workdir of a training")


def tokenizer_folder(workdir: Path, source: Path | None) -> Path:
    """The folder whose tokenizer counts: the workdir's own, or of a new one the source's.

    Raises:
        UserError: if there is no such source, or the workdir has another tokenizer than it.
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
    if anew := size.keys() - taken:
        parts.append(f"drawn: {_modules(anew)}")
    if left := set(found) - taken:
        parts.append(f"left there: {_modules(left)}")
    return "; ".join(parts)


def _module(name: str) -> str:
    """Of params/encoder_0/norm/scale it is encoder_0."""
    return name.split("/")[1]


def _modules(names: Iterable[str]) -> str:
    return shortened(sorted({_module(name) for name in names}))
