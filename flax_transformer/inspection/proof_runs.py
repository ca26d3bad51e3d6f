"""Runs of a model that return its activations by name, in order of computation."""

import functools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Literal

import flax.linen as nn
import jax
from flax.traverse_util import flatten_dict

from flax_transformer.inspection.names import name_of
from flax_transformer.inspection.proof_inputs import Kind
from flax_transformer.models.stacking import unstack_layers
from flax_transformer.modules.observe import ACTIVATIONS

OUTPUT = "output"
# What a run returns besides its output: nothing; all named activations, for which the formula
# computes attention; or results of methods, which leave attention to its kernel.
Look = Literal["nothing", "activations", "results"]
# Name -> array; an OrderedDict keeps the order of computation under jit, which a dict does not.
Arrays = OrderedDict[str, Any]
# Methods of modules, and the names by which their results are observed.
_RESULTS = {
    "keys_values": ("keys", "values"),
    "queries": ("queries",),
    "attend": ("heads",),
    "before": ("sublayer_input",),
    "after": ("residual",),
}


@functools.partial(jax.jit, static_argnames=("model", "kind", "look", "method"))
def run_whole(
    model: Any,
    kind: Kind,
    variables: Any,
    inputs: Mapping[str, Any],
    segments: Mapping[str, Any] | None = None,
    *,
    look: Look = "nothing",
    method: str | Callable[..., Any] = "__call__",
) -> Arrays:
    """Runs a model over whole sequences.

    Args:
        model: a module.
        kind: of the module.
        variables: of the module.
        inputs: rows of each side.
        segments: of each side, see `Kind`; None: all are tokens.
        look: which activations to return.
        method: computes the output.
    """
    given = [inputs[side] for side in kind.sides]
    options = {}
    if segments is not None:
        names = zip(kind.segments, kind.sides, strict=True)
        options = {name: segments[side] for name, side in names}
    output, arrays = apply(model, variables, *given, look=look, method=method, **options)
    return OrderedDict(**arrays, output=output)


def apply(
    model: Any, variables: Any, *inputs: Any, look: Look = "nothing", **options: Any
) -> tuple[Any, Arrays]:
    """Applies a model, and returns its result and its activations in order of computation.

    Args:
        model: any module.
        variables: of the module.
        *inputs: of its method.
        look: which activations to return.
        **options: of `Module.apply` and of the method.
    """
    if look == "nothing":
        return model.apply(variables, *inputs, **options), OrderedDict()
    if look == "results":
        found: Arrays = OrderedDict()
        with nn.intercept_methods(_noting_results(found)):
            return model.apply(variables, *inputs, **options), found
    order: dict[tuple[str, ...], None] = {}
    with nn.intercept_methods(_noting_names(order)):
        result, stored = model.apply(variables, *inputs, mutable=[ACTIVATIONS], **options)
    if model.config.scan_layers:
        # Only the names of all layers together were noted.
        return result, _by_name(unstack_layers(stored))
    arrays = _by_name(stored)
    return result, OrderedDict((name, arrays[name]) for name in map(name_of, order))


def _by_name(stored: Mapping[str, Any]) -> Arrays:
    by_path: Any = flatten_dict(stored.get(ACTIVATIONS, {}))
    return OrderedDict((name_of(path), array) for path, array in by_path.items())


def _noting_results(found: Arrays) -> Callable[..., Any]:
    def note(method: Any, args: Any, kwargs: Any, context: Any) -> Any:
        result = method(*args, **kwargs)
        names = _RESULTS.get(context.method_name, ())
        for name, value in zip(names, result if len(names) > 1 else [result], strict=False):
            found[name_of((*context.module.path, name))] = value
        return result

    return note


def _noting_names(order: dict[tuple[str, ...], None]) -> Callable[..., Any]:
    """Notes the paths of activations as they are stored: the collection has another order."""
    running: list[Any] = []

    def note_stored(module: Any) -> None:
        for name, value in module.variables.get(ACTIVATIONS, {}).items():
            if not isinstance(value, Mapping):
                order.setdefault((*module.path, name))

    def note(method: Any, args: Any, kwargs: Any, context: Any) -> Any:
        for module in running:
            note_stored(module)
        running.append(context.module)
        result = method(*args, **kwargs)
        note_stored(running.pop())
        return result

    return note
