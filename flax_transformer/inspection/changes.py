"""Changes of activations: what a patch may be, and how a model receives it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool

from flax_transformer.errors import UserError
from flax_transformer.inspection.names import axes_of, matching

# A number or an array that replaces an activation, or a function of its value.
Change: TypeAlias = Any


@dataclasses.dataclass(frozen=True)
class At:
    """A change of an activation at some of its indices only.

    `At(0.0, heads=2)` replaces one head by zeros; `At(lambda x: x + v, positions=5)` adds a vector
    at one position. Indices may be traced by `jit` and `vmap`.

    Attributes:
        change: a number, an array that broadcasts to the whole activation, or a function of it.
        rows: one index or several of the batch; None: all.
        positions: of tokens or patches; of queries in scores and weights.
        heads: of attention.
        keys: of scores and weights.
    """

    change: Change
    rows: Any = None
    positions: Any = None
    heads: Any = None
    keys: Any = None

    def selector(self, name: str, shape: tuple[int, ...]) -> Bool[Array, "..."]:
        """Returns where an activation of this name and shape changes; it broadcasts to the shape.

        Raises:
            UserError: if the activation lacks an axis, or an index is out of range.
        """
        axes = axes_of(name, len(shape))
        selected = jnp.ones((1,) * len(shape), bool)
        for axis in ("rows", "positions", "heads", "keys"):
            indices = getattr(self, axis)
            if indices is None:
                continue
            if axis not in axes:
                raise UserError(f"{name} has no {axis}, only {', '.join(axes)}: leave them out")
            place = axes.index(axis)
            chosen = _chosen(name, axis, indices, shape[place])
            others = [i for i in range(len(shape)) if i != place]
            selected = selected & jnp.expand_dims(chosen, others)
        return selected


def _chosen(name: str, axis: str, indices: Any, size: int) -> Bool[Array, " size"]:
    if not isinstance(indices, Tracer):
        wrong = [i for i in np.ravel(indices).tolist() if not -size <= i < size]
        if wrong:
            raise UserError(f"{name} has {size} {axis}, counted from 0, so none is {wrong[0]}")
    return jnp.isin(jnp.arange(size), jnp.asarray(indices) % size)


def patch_functions(
    patch: Mapping[str, Change], shapes: Mapping[str, jax.ShapeDtypeStruct]
) -> dict[str, Callable[[Array], Array]]:
    """Makes the function of each activation that a patch changes.

    Args:
        patch: names or patterns of activations, and what changes them: a number, an array, a
            function of the value, or any of these within `At`. Of several entries for one
            activation, the last counts.
        shapes: of all activations, by name.

    Raises:
        UserError: if a name matches no activation, or `At` does not fit one.
        ValueError: if an array does not broadcast to an activation.
    """
    functions = {}
    for pattern, change in patch.items():
        for name in matching(pattern, shapes):
            functions[name] = _function(name, change, shapes[name].shape)
    return functions


def _function(name: str, change: Change, shape: tuple[int, ...]) -> Callable[[Array], Array]:
    """Makes a function whose arrays are arguments, as a compiled program needs them."""
    if isinstance(change, At):
        selector = change.selector(name, shape)
        inner = _function(name, change.change, shape)
        return jax.tree_util.Partial(_where, selector, inner)
    if isinstance(change, jax.tree_util.Partial):
        return change
    if callable(change):
        return jax.tree_util.Partial(change)
    array = jnp.asarray(change)
    sizes = zip(reversed(array.shape), reversed(shape), strict=False)
    if array.ndim > len(shape) or any(size not in (1, full) for size, full in sizes):
        raise ValueError(f"the patch {array.shape} of {name} does not broadcast to {shape}")
    return jax.tree_util.Partial(_replace, array)


def _where(selector: Array, change: Callable[[Array], Array], value: Array) -> Array:
    return jnp.where(selector, jnp.asarray(change(value), value.dtype), value)


def _replace(array: Array, value: Array) -> Array:
    return jnp.broadcast_to(array, value.shape)


def collection_of(values: Mapping[str, Any], paths: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Nests values by name as a collection of the model's variables.

    Example:
        >>> collection_of({"decoder.0.x": 5}, {"decoder.0.x": ("decoder_0", "x")})
        {'decoder_0': {'x': 5}}
    """
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *modules, own = paths[name]
        inner = tree
        for module in modules:
            inner = inner.setdefault(module, {})
        inner[own] = value
    return tree
