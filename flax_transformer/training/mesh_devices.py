"""A training step on a mesh of devices, over which rows and parameters are cut."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from flax_transformer.functional.kernels.rows_on_mesh import ROW_AXES
from flax_transformer.training.devices import Devices
from flax_transformer.training.mesh_shape import MESH_AXES, mesh_sizes
from flax_transformer.training.optimizer.parameter_paths import names_of
from flax_transformer.training.sharding_rules import sharding_axes


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
