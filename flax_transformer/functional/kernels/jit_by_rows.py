"""A `jax.jit` that cuts the rows of a batch over the devices on which the variables are."""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, Literal

import jax
import numpy as np
from jax.core import Tracer
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from flax_transformer.functional.kernels.rows_on_mesh import ROW_AXES


def jit_by_rows(
    function: Callable[..., Any],
    *,
    rows: tuple[str, ...],
    fill: Literal["last", "empty"] = "last",
    static_argnames: tuple[str, ...] = (),
) -> Callable[..., Any]:
    """Compiles a function whose argument `variables` says where it runs.

    If the variables are on a mesh of several devices, each computes its share of the rows, and
    every process gets the whole result. All processes call the function with the same arguments.
    Otherwise this is `jax.jit`.

    Args:
        function: of variables, arrays with rows and other arguments.
        rows: names of the arguments with rows, which may be pytrees.
        fill: which rows fill a batch that does not divide by the devices: "last": copies of the
            last one, which are cut off the result; "empty": zeros, which the result, a sum over the
            rows, does not contain.
        static_argnames: see `jax.jit`.
    """
    compiled = jax.jit(function, static_argnames=static_argnames)
    on_mesh = jax.jit(_with_whole_result(function), static_argnames=static_argnames)
    signature = inspect.signature(function)

    @functools.wraps(function)
    def run(*positional: Any, **named: Any) -> Any:
        given = signature.bind(*positional, **named)
        mesh = _mesh_of(given.arguments["variables"])
        if mesh is None:
            return compiled(*positional, **named)
        num_rows = len(jax.tree.leaves(given.arguments[rows[0]])[0])
        shares = math.prod(mesh.shape[axis] for axis in ROW_AXES)
        # With fewer rows, all devices compute all.
        is_cut = num_rows >= shares
        for name in rows:
            place = functools.partial(_placed, mesh=mesh, shares=shares if is_cut else 1, fill=fill)
            given.arguments[name] = jax.tree.map(place, given.arguments[name])
        with jax.set_mesh(mesh):
            result = on_mesh(*given.args, **given.kwargs)
        own = jax.tree.map(lambda x: x.addressable_data(0), result)
        return jax.tree.map(lambda x: x[:num_rows], own) if fill == "last" else own

    return run


def _with_whole_result(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*positional: Any, **named: Any) -> Any:
        return jax.lax.with_sharding_constraint(function(*positional, **named), P())

    return run


def _mesh_of(variables: Any) -> Mesh | None:
    """Returns the mesh of several devices on which variables are, if they are on one."""
    first = next(iter(jax.tree.leaves(variables)), None)
    # While another function is traced, its own devices count.
    sharding = None if isinstance(first, Tracer) else getattr(first, "sharding", None)
    mesh = sharding.mesh if isinstance(sharding, NamedSharding) else None
    return mesh if isinstance(mesh, Mesh) and mesh.size > 1 else None


def _placed(array: Any, mesh: Mesh, shares: int, fill: str) -> jax.Array:
    """Brings each device its rows of an array that every process has as a whole."""
    whole = np.asarray(array)
    mode: Any = "edge" if fill == "last" else "constant"
    widths = [(0, -len(whole) % shares)] + [(0, 0)] * (whole.ndim - 1)
    whole = np.pad(whole, widths, mode)
    sharding = NamedSharding(mesh, P(ROW_AXES) if shares > 1 else P())
    return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])
