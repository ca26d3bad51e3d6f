"""The ways in which several devices compute a function of variables and rows."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from flax_transformer.functional.kernels.jit_by_rows import jit_by_rows
from flax_transformer.training.mesh_devices import MeshDevices
from flax_transformer.training.parallel import MappedDevices

# Makes a function of (variables, rows) run on devices; all its results have the rows first.
OnDevices = Callable[[Callable[[Any, Any], Any]], Callable[[Any, Any], Any]]


def ways_of_use(num_rows: int, devices: Sequence[Any] | None = None) -> dict[str, OnDevices]:
    """Returns the ways of using devices: "pmap over 2 devices" and "mesh of 2 devices".

    Args:
        num_rows: rows of every call, which the devices share equally; so the largest number of
            devices that divides it is used.
        devices: by default those of this process.
    """
    devices = list(jax.local_devices() if devices is None else devices)
    number = max(n for n in range(1, len(devices) + 1) if num_rows % n == 0)
    word = "device" if number == 1 else "devices"
    return {
        f"pmap over {number} {word}": lambda f: _mapped(f, MappedDevices(devices[:number])),
        f"mesh of {number} {word}": lambda f: _on_mesh(f, MeshDevices(devices[:number], "data=-1")),
    }


def _mapped(function: Callable[[Any, Any], Any], devices: MappedDevices) -> Callable[..., Any]:
    def run(variables: Any, rows: Any) -> Any:
        step = devices.compile(lambda own, share, _: function(own, share), keep_state=True)
        results = step(devices.place(variables), devices.share(rows), None)
        merge = lambda x: np.asarray(x).reshape(-1, *x.shape[2:])  # noqa: E731
        return jax.tree.map(merge, results)

    return run


def _on_mesh(function: Callable[[Any, Any], Any], mesh: MeshDevices) -> Callable[..., Any]:
    def of_rows(variables: Any, rows: Any) -> Any:
        return function(variables, rows)

    compiled = jit_by_rows(of_rows, rows=("rows",))
    return lambda variables, rows: jax.device_get(compiled(mesh.place(variables), rows))
