"""Reports of steps with a loss or gradient that is not finite."""

import itertools
import json
import math
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from flax_transformer.errors import UserError
from flax_transformer.training.checkpoints.checkpoint_contents import named_leaves
from flax_transformer.training.devices import Devices
from flax_transformer.training.processes import is_first
from flax_transformer.training.step import Gradient, TrainState

Report = dict[str, Any]


def gradient_again(
    gradient: Callable[[TrainState, Any, PRNGKeyArray], Gradient],
    devices: Devices,
    state: TrainState,
    step: int,
    batch: Any,
    rng: PRNGKeyArray,
) -> Gradient:
    """Computes the gradient of one step again, without an update.

    Args:
        gradient: result of `make_gradient`, with the training's micro-batches and axis.
        devices: devices of the training.
        state: state in which the loss or gradient was not finite, as the training holds it on its
            devices.
        step: number of the step, counted from 1; it determines the dropout.
        batch: batch of the step, before `devices` distributes it.
        rng: random key of the training.

    Returns:
        The gradient, on the host.
    """
    # The random numbers of a step depend on the number of steps before it.
    before = state._replace(step=jnp.full_like(state.step, step - 1))
    found = devices.compile(gradient, keep_state=True)(before, devices.share(batch), rng)
    return jax.device_get(devices.whole(found))


def write_report(
    folder: Path,
    step: int,
    found: Gradient,
    params: Any,
    batch: Any,
    examples: Iterable[dict[str, Any]],
) -> Path:
    """Writes a report of a step with a loss or gradient that is not finite.

    The folder gets report.json and batch.npz. The report has the loss, the examples, and for each
    parameter and layer the norm of the gradient and the number of entries that are not finite. It
    writes "nan", "inf" and "-inf" as strings. batch.npz has the arrays of the batch by name. An
    existing folder is replaced; an incomplete folder never has this name.

    Args:
        folder: such as WORKDIR/not_finite/step-37; with several processes, the first one writes.
        step: number of the step, counted from 1.
        found: result of `gradient_again`.
        params: parameters of that state.
        batch: batch of the step.
        examples: examples of the batch in readable form.

    Returns:
        The path of report.json.

    Raises:
        UserError: if the folder cannot be written.
    """
    report = {
        "step": step,
        "loss": _number(found.loss),
        "weight": _number(found.weight),
        "gradient_norm": _number(found.norm),
        **_norms(jax.device_get(params), found.mean),
        "examples": list(examples),
    }
    try:
        if is_first():
            _write(folder, report, batch)
    except OSError as error:
        raise UserError(
            f"cannot write {folder} ({error.strerror}): make room, or choose another --workdir"
        ) from error
    return folder / "report.json"


def _norms(params: Any, gradient: Any) -> Report:
    """Returns norms of the gradient by layer and parameter, and counts of numbers not finite."""
    values, gradients = named_leaves(params), named_leaves(gradient)
    layers: dict[str, list[np.ndarray]] = {}
    for name, leaf in gradients.items():
        # The layer of a parameter, and its part of the layer: decoder_0, decoder_0/norm.
        modules = name.split("/")[:-1][:2]
        for layer in itertools.accumulate(modules, "{}/{}".format):
            layers.setdefault(layer, []).append(leaf)
    return {
        "layers": {layer: _number(_norm(leaves)) for layer, leaves in layers.items()},
        "parameters": {
            name: {
                "shape": list(leaf.shape),
                "gradient_norm": _number(_norm([leaf])),
                "not_finite": _count_not_finite(values[name]),
                "gradient_not_finite": _count_not_finite(leaf),
            }
            for name, leaf in gradients.items()
        },
    }


def _norm(leaves: Iterable[np.ndarray]) -> float:
    """Computes the norm in float64: squares of large float32 numbers stay finite."""
    squares = (np.sum(np.square(leaf.astype(np.float64))) for leaf in leaves)
    return math.sqrt(sum(map(float, squares)))


def _count_not_finite(leaf: np.ndarray) -> int:
    return int(np.count_nonzero(~np.isfinite(leaf.astype(np.float64))))


def _number(value: Any) -> float | str:
    """Converts a number for JSON, which only has finite numbers."""
    number = float(value)
    return number if math.isfinite(number) else str(number)


def _write(folder: Path, report: Report, batch: Any) -> None:
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
    (unfinished / "report.json").write_text(text + "\n", encoding="utf-8")
    arrays = {name: array for name, array in batch._asdict().items() if array is not None}
    np.savez(unfinished / "batch.npz", **arrays)
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(unfinished, folder)
