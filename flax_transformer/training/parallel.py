"""Runs a training step on one device or on several: under jit, under pmap, or under jit on a mesh.

The three ways give the same results up to the order of sums.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from flax_transformer.training.devices import Devices
from flax_transformer.training.mesh_devices import MeshDevices

AXIS = "devices"


def choose_devices(
    mesh: str | None = None, mixes_rows: bool = False, devices: Sequence[Any] | None = None
) -> Devices:
    """Chooses how a step runs.

    On one device it runs under `jit`. On several devices of one host it runs under `pmap`, by data
    parallelism. With several hosts, with a mesh, or if a loss combines rows, it runs under `jit` on
    a mesh, where every step sees the whole batch.

    Args:
        mesh: sizes of the mesh's axes, such as "data=-1,fsdp=4"; see `parse_mesh`.
        mixes_rows: whether a row's loss depends on other rows, as in batch normalization.
        devices: to use; by default those of all processes.

    Raises:
        UserError: if the mesh does not fit the number of devices.
    """
    devices = list(jax.devices() if devices is None else devices)
    if mesh is not None:
        return MeshDevices(devices, mesh, is_mapped=not mixes_rows)
    if len(devices) == 1:
        return OneDevice(devices)
    if mixes_rows or jax.process_count() > 1:
        return MeshDevices(devices, "data=-1", is_mapped=not mixes_rows)
    return MappedDevices(devices)


def place_for_use(variables: Any, devices: Sequence[Any] | None = None) -> Any:
    """Brings whole variables to the devices, over which an evaluation then cuts its rows.

    Devices that one process simulates on a CPU share its cores, so that only the first is used.
    """
    devices = list(jax.devices() if devices is None else devices)
    if len(devices) > 1 and (jax.process_count() > 1 or devices[0].platform != "cpu"):
        return MeshDevices(devices, "data=-1").place(variables)
    # From the host's memory, they would be copied for each batch.
    return jax.device_put(variables, devices[0])


class OneDevice(Devices):
    """One device, which runs the step under `jit`."""

    def __init__(self, devices: Sequence[Any]):
        self.devices = list(devices)

    def compile(self, step: Callable, *, keep_state: bool = False) -> Callable:
        """Compiles a step; see `Devices`."""
        return jax.jit(step, donate_argnums=() if keep_state else (0,))

    def place(self, tree: Any) -> Any:
        """Copies a state to the device."""
        return jax.device_put(tree, self.devices[0])

    def whole(self, tree: Any) -> Any:
        """Returns the arrays as they are."""
        return tree

    def share(self, batch: Any) -> Any:
        """Returns the batch as it is."""
        return batch

    def place_for_use(self, variables: Any) -> Any:
        """Brings the variables to the devices of an evaluation."""
        return place_for_use(variables, self.devices)


class MappedDevices(Devices):
    """Several devices of one host, each with the whole state and a share of each batch's rows.

    The step runs under `pmap`; states and batches have a leading axis of devices.
    """

    axis_name = AXIS

    def __init__(self, devices: Sequence[Any]):
        self.devices, self.num_shares = list(devices), len(devices)
        self.own_shares = tuple(range(self.num_shares))

    def compile(self, step: Callable, *, keep_state: bool = False) -> Callable:
        """Compiles a step; see `Devices`."""
        donated = () if keep_state else (0,)
        return self._pmap(step, in_axes=(0, 0, None), donate_argnums=donated)

    def _pmap(self, function: Callable, **options: Any) -> Callable:
        return jax.pmap(function, AXIS, devices=self.devices, **options)

    def place(self, tree: Any) -> Any:
        """Copies a state to every device."""
        count = len(self.devices)
        copies = jax.tree.map(lambda x: np.broadcast_to(x, (count, *np.shape(x))), tree)
        # Placed as a step's results are, or the second step would compile again.
        return self._pmap(lambda x: x)(copies)

    def whole(self, tree: Any) -> Any:
        """Returns the first device's copy.

        It is read into the host's memory: indexing the arrays would run a program on all devices
        for each array.
        """
        return jax.tree.map(_first_copy, tree)

    def share(self, batch: Any) -> Any:
        """Splits the rows into equal shares."""
        count = len(self.devices)
        return jax.tree.map(lambda x: x.reshape(count, -1, *x.shape[1:]), batch)

    def place_for_use(self, variables: Any) -> Any:
        """Brings the variables to the devices of an evaluation."""
        return place_for_use(variables, self.devices)


def _first_copy(array: Any) -> np.ndarray:
    # NumPy removes the axis of devices, which is 1 in a shard; JAX would run a program for it.
    return np.asarray(array.addressable_data(0)).reshape(array.shape[1:])
