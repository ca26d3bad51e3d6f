"""Weights that are saved once: the base of adapters, and imported weights."""

from contextlib import closing
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from flax.traverse_util import unflatten_dict

from flax_transformer.errors import UserError, first_line
from flax_transformer.training.checkpoints.checkpoint_place import has_no_access
from flax_transformer.training.checkpoints.checkpoints import Checkpoints
from flax_transformer.training.checkpoints.disk_room import explained_writes
from flax_transformer.training.processes import from_first
from flax_transformer.training.step import TrainState


def weights_only(params: Any) -> TrainState:
    """Makes a state of step 0 without an optimizer, to be saved as a checkpoint."""
    # Orbax cannot write an empty item.
    return TrainState(jnp.int32(0), params, {}, {"none": np.zeros(1, np.float32)})


def keep_weights(folder: epath.Path, params: Any) -> None:
    """Saves parameters in a folder; those that an interrupted process left there are deleted."""
    with explained_writes(folder):
        from_first(lambda: folder.rmtree(missing_ok=True))
    with closing(_open(folder)) as checkpoints:
        checkpoints.save(weights_only(jax.device_get(params)), {})


def read_weights(folder: epath.Path) -> Any:
    """Reads the parameters that `keep_weights` saved.

    Raises:
        UserError: if they are missing or damaged.
    """
    advice = "copy it back, or train again in another folder"
    try:
        found = kept_contents(folder)
        if found is None:
            raise UserError(f"{folder} is missing: {advice}")
        with closing(_open(folder, is_reader=True)) as checkpoints:
            return checkpoints.restore(_like(found), 0).state.params
    except UserError:
        raise
    # After any exception of Orbax or the libraries below it: the files have changed.
    except Exception as error:
        if has_no_access(folder, error):
            raise UserError(
                f"cannot read {folder} ({first_line(error)}): try again later"
            ) from error
        raise UserError(f"{folder} is damaged ({type(error).__name__}): {advice}") from error


def kept_contents(folder: epath.Path) -> dict[str, Any] | None:
    """Returns the digests and shapes of kept parameters; None if there are none."""
    if not folder.exists():
        return None
    with closing(_open(folder, is_reader=True)) as checkpoints:
        return checkpoints.contents(0) if checkpoints.steps() else None


def _like(contents: dict[str, Any]) -> TrainState:
    """Makes a state of the shapes of kept parameters."""
    shapes = {
        tuple(name.split("/")[1:]): _read_shape(shape)
        for name, shape in contents["variables"]["shapes"].items()
    }
    return weights_only(unflatten_dict(shapes))


def _open(folder: epath.Path, is_reader: bool = False) -> Checkpoints:
    return Checkpoints(folder, 1, lambda step: True, dict, is_reader)


def _read_shape(shape: str) -> jax.ShapeDtypeStruct:
    """Reads what `checkpoint_contents.shapes` wrote.

    Example:
        >>> _read_shape("float32[3,5]")
        ShapeDtypeStruct(shape=(3, 5), dtype=float32)
    """
    dtype, _, axes = shape.rstrip("]").partition("[")
    return jax.ShapeDtypeStruct(tuple(map(int, filter(None, axes.split(",")))), np.dtype(dtype))
