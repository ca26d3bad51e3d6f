"""Runs a training step on one device or on several: under jit, under pmap, or under jit on a mesh.

The three ways give the same results up to the order of sums.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from flax_transformer.functional.kernels.rows_on_mesh import ROW_AXES
from flax_transformer.training.mesh_shape import MESH_AXES, mesh_sizes
from flax_transformer.training.optimizer.parameter_paths import names_of
from flax_transformer.training.sharding_rules import sharding_axes

AXIS = "devices"


class Devices(ABC):
    """The devices of a training.

    Attributes:
        devices: those of all processes.
        num_shares: number of equal shares into which the rows of a batch are cut.
        own_shares: those that the devices of this process need.
        axis_name: the mapped axis over devices, None if a step sees the whole batch.
    """

    devices: list[Any]
    num_shares: int = 1
    own_shares: tuple[int, ...] = (0,)
    axis_name: str | None = None

    @abstractmethod
    def compile(self, step: Callable, *, keep_state: bool = False) -> Callable:
        """Compiles a (state, batch, rng) step that reuses or keeps the memory of its state."""

    @abstractmethod
    def place(self, tree: Any) -> Any:
        """Brings a state from the host to the devices."""

    @abstractmethod
    def whole(self, tree: Any) -> Any:
        """Returns a state or metrics in a form that this process can read as usual arrays."""

    def to_save(self, state: Any) -> Any:
        """Returns a state in the form in which a checkpoint takes it."""
        return jax.device_get(self.whole(state))

    def to_restore(self, shapes: Any) -> Any:
        """Returns the shapes of a state in the form in which a checkpoint restores it."""
        return shapes

    @abstractmethod
    def share(self, batch: Any) -> Any:
        """Distributes the rows of a batch that this process needs over its devices."""

    def of_all(self, count: int) -> int:
        """Estimates a count over a whole batch by that of the rows that this process needs."""
        return round(count * self.num_shares / len(self.own_shares))

    def place_for_use(self, variables: Any) -> Any:
        """Brings whole variables to where an evaluation uses them; see there."""
        return place_for_use(variables, self.devices)


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


def _first_copy(array: Any) -> np.ndarray:
    # NumPy removes the axis of devices, which is 1 in a shard; JAX would run a program for it.
    return np.asarray(array.addressable_data(0)).reshape(array.shape[1:])


class MeshDevices(Devices):
    """A mesh of devices, over which rows of a batch and parameters are cut; see `sharding_rules`.

    The step runs under `jit`, as on one device: XLA divides the work. If only rows are cut, the
    step can be mapped over the devices by `shard_map` instead. It then adds up the micro-batches
    before it adds up the devices, where XLA would add up the devices for each micro-batch.

    Args:
        devices: to arrange.
        shape: sizes of the axes, see `parse_mesh`.
        is_mapped: whether the step is mapped if only rows are cut; `axis_name` is its axis.

    Attributes:
        mesh: the mesh, with the axes `MESH_AXES`.
    """

    def __init__(self, devices: Sequence[Any], shape: str, is_mapped: bool = False):
        self.devices = list(devices)
        sizes = mesh_sizes(shape, len(self.devices))
        if is_mapped and sizes[ROW_AXES[0]] == len(self.devices) > 1:
            self.axis_name = ROW_AXES[0]
        self.mesh = jax.make_mesh(
            tuple(sizes.values()),
            MESH_AXES,
            axis_types=(AxisType.Auto,) * len(MESH_AXES),
            devices=self.devices,
        )
        self.num_shares = int(np.prod([sizes[axis] for axis in ROW_AXES]))
        self._rows = NamedSharding(self.mesh, P(ROW_AXES))
        own = self._rows.addressable_devices_indices_map((self.num_shares,)).values()
        self.own_shares = tuple(sorted({_start(index) for index in own}))

    def compile(self, step: Callable, *, keep_state: bool = False) -> Callable:
        """Compiles a step; see `Devices`."""
        compiled = self._jit(step, keep_state)

        def run(*arguments: Any) -> Any:
            with jax.set_mesh(self.mesh):
                return compiled(*arguments)

        return run

    def lower(self, step: Callable, *arguments: Any) -> Any:
        """Lowers a step for arguments, or for their shapes with shardings, to be compiled."""
        with jax.set_mesh(self.mesh):
            return self._jit(step).lower(*arguments)

    def _jit(self, step: Callable, keep_state: bool = False) -> Any:
        if self.axis_name is not None:
            whole, rows = P(), P(self.axis_name)
            step = jax.shard_map(
                step,
                mesh=self.mesh,
                in_specs=(whole, rows, whole),
                out_specs=whole,
                check_vma=False,
            )

        def on_mesh(*arguments: Any) -> Any:
            results = step(*arguments)
            return jax.lax.with_sharding_constraint(results, self.shardings(results))

        return jax.jit(on_mesh, donate_argnums=() if keep_state else (0,))

    def shardings(self, tree: Any) -> Any:
        """Returns how each array of a state is cut, by its path."""

        def sharding(path: Any, leaf: Any) -> NamedSharding:
            axes = sharding_axes(names_of(path), leaf.shape, self.mesh.shape)
            return NamedSharding(self.mesh, P(*axes))

        return jax.tree_util.tree_map_with_path(sharding, tree)

    def place(self, tree: Any) -> Any:
        """Brings each device its part of a state, which every process has as a whole.

        Arrays that are already there stay.
        """
        return jax.tree.map(_from_whole, tree, self.shardings(tree))

    def to_save(self, state: Any) -> Any:
        """Returns the state as it is: each process writes its own parts."""
        return state

    def to_restore(self, shapes: Any) -> Any:
        """Adds where each part belongs: each process reads its own."""
        place = lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)  # noqa: E731
        return jax.tree.map(place, shapes, self.shardings(shapes))

    def whole(self, tree: Any) -> Any:
        """Returns arrays that this process can read: its own, or gathered from all processes."""
        return jax.tree.map(_gathered, tree)

    def place_for_use(self, variables: Any) -> Any:
        """Leaves variables cut over the mesh: one device may be too small for them."""
        return self.place(variables)

    def share(self, batch: Any) -> Any:
        """Brings each device its rows of this process's rows."""
        return jax.tree.map(self._from_own_rows, batch)

    def _from_own_rows(self, own: Any) -> Any:
        size = len(own) // len(self.own_shares)

        def part(index: Any) -> Any:
            start = self.own_shares.index(_start(index) // size) * size
            return own[start : start + size]

        shape = (size * self.num_shares, *own.shape[1:])
        return jax.make_array_from_callback(shape, self._rows, part)


def _start(index: Any) -> int:
    """Returns the first row of a part of an array."""
    return index[0].start or 0


def _from_whole(array: Any, sharding: NamedSharding) -> Any:
    if isinstance(array, jax.Array) and array.sharding == sharding:
        return array
    if jax.process_count() == 1:
        return jax.device_put(array, sharding)
    on_host = np.asarray(array)
    return jax.make_array_from_callback(on_host.shape, sharding, lambda index: on_host[index])


def _gathered(array: Any) -> Any:
    if array.is_fully_addressable:
        return array
    if array.is_fully_replicated:
        return np.asarray(array.addressable_data(0))
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(array, tiled=True)
