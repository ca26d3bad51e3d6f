"""Keeps the rows of a batch where they are, in a program that is compiled for a mesh of devices.

The mesh is the one that `jax.set_mesh` has set. Without one, or without these axes, the functions
return their arguments: the program is then the same as without them.
"""

import math
from collections.abc import Callable

import jax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Shaped

# The axes over which rows of a batch are cut; parameters are cut over the second one too.
PARAMETER_AXIS = "fsdp"
ROW_AXES = ("data", PARAMETER_AXIS)


def row_axes() -> tuple[str, ...]:
    """Returns the axes of the mesh that cut rows, and have more than one device."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        return ()
    free = set(mesh.auto_axes)
    return tuple(axis for axis in ROW_AXES if axis in free and mesh.shape[axis] > 1)


def keep_rows(value: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
    """Constrains the first axis of an activation to be cut as the rows of the batch are.

    XLA's partitioner may otherwise gather the rows and cut the products along other axes.
    """
    axes = row_axes()
    if not axes or not value.ndim or value.shape[0] % _size(axes):
        return value
    others = [P.UNCONSTRAINED] * (value.ndim - 1)
    return jax.lax.with_sharding_constraint(value, P(axes, *others))


def summed_over_rows(function: Callable[..., Array], num_shared: int) -> Callable[..., Array]:
    """Lets every device compute a sum over its own rows, and adds the sums.

    A shared matrix comes cut along its last axis, as parameters are, and is collected from the
    devices. So its gradient is added up in parts, and no device has the whole of it.

    Args:
        function: of shared arrays, which all devices get whole, and of arrays with rows.
        num_shared: number of shared arrays.
    """

    def run(*arrays: Array | None) -> Array:
        axes = row_axes()
        if not axes or any(x is None or x.shape[0] % _size(axes) for x in arrays[num_shared:]):
            return function(*arrays)
        shared = [_spec_of_shared(x, axes) for x in arrays[:num_shared]]

        def sum_of_all(*parts: Array | None) -> Array:
            whole = [_collected(x, spec) for x, spec in zip(parts, shared, strict=False)]
            return jax.lax.psum(function(*whole, *parts[num_shared:]), axes)

        return jax.shard_map(
            sum_of_all,
            in_specs=(*shared, *[P(axes)] * (len(arrays) - num_shared)),
            out_specs=P(),
            axis_names=set(axes),
            check_vma=False,
        )(*arrays)

    return run


def _spec_of_shared(array: Array | None, axes: tuple[str, ...]) -> P:
    """Returns how a shared array comes: a matrix as its parameter is cut over devices."""
    if array is None or array.ndim < 2 or PARAMETER_AXIS not in axes:
        return P()
    if array.shape[-1] % _size((PARAMETER_AXIS,)):
        return P()
    return P(*[None] * (array.ndim - 1), PARAMETER_AXIS)


def _collected(part: Array | None, spec: P) -> Array | None:
    if part is None or PARAMETER_AXIS not in spec:
        return part
    return jax.lax.all_gather(part, PARAMETER_AXIS, axis=part.ndim - 1, tiled=True)


def _size(axes: tuple[str, ...]) -> int:
    mesh = jax.sharding.get_abstract_mesh()
    return math.prod(mesh.shape[axis] for axis in axes)
