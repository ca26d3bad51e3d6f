"""The contents of a checkpoint by name: detects damage, and checkpoints of another model."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np

from flax_transformer.errors import UserError

MAX_LISTED = 5


def named_leaves(tree: Any) -> dict[str, Any]:
    """Names the leaves of a pytree by their path.

    Example:
        >>> named_leaves({"a": {"kernel": 3}, "b": [5, 7]})
        {'a/kernel': 3, 'b/0': 5, 'b/1': 7}
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {leaf_name(path): leaf for path, leaf in leaves}


def leaf_name(path: Any) -> str:
    """Joins a leaf's path from `jax.tree_util` with slashes."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def shapes(tree: Any) -> dict[str, str]:
    """Returns the type and shape of every leaf.

    Example:
        >>> shapes({"a": np.zeros((3, 5), np.float32)})
        {'a': 'float32[3,5]'}
    """
    return {
        name: f"{np.dtype(leaf.dtype).name}[{','.join(map(str, leaf.shape))}]"
        for name, leaf in named_leaves(tree).items()
    }


def check_shapes(found: Mapping[str, str], wanted: Mapping[str, str], where: str) -> None:
    """Verifies that a checkpoint fits the model.

    Args:
        found: `shapes` of the saved arrays.
        wanted: `shapes` of the model.
        where: name of the checkpoint in the message.

    Raises:
        UserError: if arrays are missing, superfluous or of another shape, with lists of them.
    """
    lists = {
        "missing": [f"{name} {wanted[name]}" for name in wanted.keys() - found.keys()],
        "not of this model": [f"{name} {found[name]}" for name in found.keys() - wanted.keys()],
        "of another shape": [
            f"{name} {found[name]} for {wanted[name]}"
            for name in wanted.keys() & found.keys()
            if found[name] != wanted[name]
        ],
    }
    said = [f"{kind}: {shortened(sorted(names))}" for kind, names in lists.items() if names]
    if said:
        raise UserError(
            f"{where} is of another model ({'; '.join(said)}): use the settings it was trained "
            "with, or another folder"
        )


def shortened(names: Iterable[str]) -> str:
    """Lists the first few of several things."""
    names = list(names)
    more = len(names) - MAX_LISTED
    return ", ".join(names[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "")
