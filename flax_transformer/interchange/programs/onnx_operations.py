"""The operations of JAX in ONNX: from a primitive to nodes of a graph.

A function of the table at the end gets the graph, the equation and the names of its inputs, and
returns the names of its outputs.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from flax_transformer.interchange.programs import onnx_indexing
from flax_transformer.interchange.programs.model_programs import NotHeldError
from flax_transformer.interchange.programs.onnx_graph import OnnxGraph
from flax_transformer.interchange.programs.onnx_products import multiply

Operation = Callable[..., str | list[str]]


def _same(operation: str, **attributes: Any) -> Operation:
    """An operation that ONNX has too."""
    return lambda graph, equation, *inputs: graph.add(operation, *inputs, **attributes)


def _unchanged(graph: OnnxGraph, equation: Any, value: str) -> str:
    return value


def _number(graph: OnnxGraph, equation: Any, value: int | float) -> str:
    return graph.constant(value, equation.invars[0].aval.dtype)


def _not_equal(graph: OnnxGraph, equation: Any, *inputs: str) -> str:
    return graph.add("Not", graph.add("Equal", *inputs))


def _rsqrt(graph: OnnxGraph, equation: Any, value: str) -> str:
    return graph.add("Reciprocal", graph.add("Sqrt", value))


def _erfc(graph: OnnxGraph, equation: Any, value: str) -> str:
    return graph.add("Sub", _number(graph, equation, 1), graph.add("Erf", value))


def _log1p(graph: OnnxGraph, equation: Any, value: str) -> str:
    return graph.add("Log", graph.add("Add", value, _number(graph, equation, 1)))


def _square(graph: OnnxGraph, equation: Any, value: str) -> str:
    return graph.add("Mul", value, value)


def _integer_pow(graph: OnnxGraph, equation: Any, value: str) -> str:
    return graph.add("Pow", value, _number(graph, equation, equation.params["y"]))


def _remainder(graph: OnnxGraph, equation: Any, *inputs: str) -> str:
    return graph.add("Mod", *inputs, fmod=1)


def _round(graph: OnnxGraph, equation: Any, value: str) -> str:
    if equation.params["rounding_method"] != jax.lax.RoundingMethod.TO_NEAREST_EVEN:
        raise NotImplementedError
    return graph.add("Round", value)


def _convert(graph: OnnxGraph, equation: Any, value: str) -> str:
    return graph.cast(value, equation.params["new_dtype"])


def _select(graph: OnnxGraph, equation: Any, chosen: str, *cases: str) -> str:
    of_false, of_true = cases
    if equation.outvars[0].aval.dtype != bool:
        return graph.add("Where", chosen, of_true, of_false)
    # onnxruntime does not choose between truth values.
    others = graph.add("And", graph.add("Not", chosen), of_false)
    return graph.add("Or", graph.add("And", chosen, of_true), others)


def _broadcast(graph: OnnxGraph, equation: Any, value: str, *lengths: str) -> str:
    shape, kept = equation.params["shape"], equation.params["broadcast_dimensions"]
    new = [axis for axis in range(len(shape)) if axis not in kept]
    if new:
        value = graph.add("Unsqueeze", value, graph.whole(*new))
    return graph.add("Expand", value, graph.shape(shape))


def _reshape(graph: OnnxGraph, equation: Any, value: str, *lengths: str) -> str:
    return graph.add("Reshape", value, graph.shape(equation.outvars[0].aval.shape))


def _transpose(graph: OnnxGraph, equation: Any, value: str) -> str:
    return graph.add("Transpose", value, perm=equation.params["permutation"])


def _concatenate(graph: OnnxGraph, equation: Any, *values: str) -> str:
    return graph.add("Concat", *values, axis=equation.params["dimension"])


def _stack(graph: OnnxGraph, equation: Any, *values: str) -> str:
    axis = equation.params["axis"]
    unsqueezed = [graph.add("Unsqueeze", value, graph.whole(axis)) for value in values]
    return graph.add("Concat", *unsqueezed, axis=axis)


def _squeeze(graph: OnnxGraph, equation: Any, value: str) -> str:
    dimensions = equation.params["dimensions"]
    return graph.add("Squeeze", value, graph.whole(*dimensions)) if dimensions else value


def _reduce(operation: str, on_bool: bool = False) -> Operation:
    def add(graph: OnnxGraph, equation: Any, value: str) -> str:
        if on_bool:
            value = graph.cast(value, np.int32)
        axes = graph.whole(*equation.params["axes"])
        found = graph.add(operation, value, axes, keepdims=0)
        return graph.cast(found, bool) if on_bool else found

    return add


def _argmax(graph: OnnxGraph, equation: Any, value: str) -> str:
    (axis,) = equation.params["axes"]
    if equation.invars[0].aval.dtype == bool:
        value = graph.cast(value, np.int32)
    found = graph.add("ArgMax", value, axis=axis, keepdims=0)
    return graph.cast(found, equation.params["index_dtype"])


def _top_k(graph: OnnxGraph, equation: Any, value: str) -> list[str]:
    number = graph.whole(equation.params["k"])
    best, places = graph.add_several("TopK", [value, number], 2)
    return [best, graph.cast(places, equation.outvars[1].aval.dtype)]


def _sum_up(graph: OnnxGraph, equation: Any, value: str) -> str:
    axis = graph.constant(equation.params["axis"], np.int64)
    return graph.add("CumSum", value, axis, reverse=int(equation.params["reverse"]))


def _largest_so_far(graph: OnnxGraph, equation: Any, value: str) -> str:
    """ONNX has no such operation: the largest of all earlier values, for each place."""
    aval, axis = equation.invars[0].aval, equation.params["axis"]
    if axis != aval.ndim - 1 or equation.params["reverse"]:
        raise NotImplementedError
    length = graph.length(aval.shape[axis])
    zero, one = (graph.constant(number, np.int64) for number in (0, 1))
    scalar = graph.add("Squeeze", length)
    places = graph.add("Range", zero, scalar, one)
    is_earlier = graph.add("LessOrEqual", places, graph.add("Unsqueeze", places, graph.whole(1)))
    least = graph.constant(np.iinfo(aval.dtype).min, aval.dtype)
    values = graph.add("Unsqueeze", value, graph.whole(axis))
    earlier = graph.add("Where", is_earlier, values, least)
    return graph.add("ReduceMax", earlier, graph.whole(-1), keepdims=0)


def _count(graph: OnnxGraph, equation: Any, *lengths: str) -> str:
    shape, axis = equation.params["shape"], equation.params["dimension"]
    zero, one = (graph.constant(number, np.int64) for number in (0, 1))
    stop = graph.add("Squeeze", graph.length(shape[axis]))
    places = graph.add("Range", zero, stop, one)
    others = [other for other in range(len(shape)) if other != axis]
    if others:
        places = graph.add("Unsqueeze", places, graph.whole(*others))
        places = graph.add("Expand", places, graph.shape(shape))
    return graph.cast(places, equation.params["dtype"])


def _length(graph: OnnxGraph, equation: Any) -> str:
    length = graph.add("Squeeze", graph.length(equation.params["dim"]))
    return graph.cast(length, equation.outvars[0].aval.dtype)


def _clamp(graph: OnnxGraph, equation: Any, least: str, value: str, most: str) -> str:
    return graph.add("Min", graph.add("Max", value, least), most)


# Primitive of JAX -> its nodes.
_OPERATIONS: dict[str, Operation] = {
    **dict.fromkeys(("copy", "name", "stop_gradient"), _unchanged),
    "add": _same("Add"),
    "sub": _same("Sub"),
    "mul": _same("Mul"),
    "div": _same("Div"),
    "rem": _remainder,
    "max": _same("Max"),
    "min": _same("Min"),
    "pow": _same("Pow"),
    "integer_pow": _integer_pow,
    "square": _square,
    "neg": _same("Neg"),
    "abs": _same("Abs"),
    "sign": _same("Sign"),
    "floor": _same("Floor"),
    "ceil": _same("Ceil"),
    "round": _round,
    "exp": _same("Exp"),
    "log": _same("Log"),
    "log1p": _log1p,
    "sqrt": _same("Sqrt"),
    "rsqrt": _rsqrt,
    "tanh": _same("Tanh"),
    "logistic": _same("Sigmoid"),
    "erf": _same("Erf"),
    "erfc": _erfc,
    "sin": _same("Sin"),
    "cos": _same("Cos"),
    "and": _same("And"),
    "or": _same("Or"),
    "not": _same("Not"),
    "eq": _same("Equal"),
    "ne": _not_equal,
    "lt": _same("Less"),
    "le": _same("LessOrEqual"),
    "gt": _same("Greater"),
    "ge": _same("GreaterOrEqual"),
    "select_n": _select,
    "clamp": _clamp,
    "convert_element_type": _convert,
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "transpose": _transpose,
    "concatenate": _concatenate,
    "stack": _stack,
    "squeeze": _squeeze,
    "slice": onnx_indexing.static_slice,
    "pad": onnx_indexing.pad,
    "rev": onnx_indexing.reverse,
    "split": onnx_indexing.split,
    "dynamic_slice": onnx_indexing.dynamic_slice,
    "dynamic_update_slice": onnx_indexing.dynamic_update_slice,
    "gather": onnx_indexing.gather,
    "scatter": onnx_indexing.scatter,
    "scatter-add": onnx_indexing.scatter_add,
    "dot_general": multiply,
    "reduce_sum": _reduce("ReduceSum"),
    "reduce_max": _reduce("ReduceMax"),
    "reduce_min": _reduce("ReduceMin"),
    "reduce_and": _reduce("ReduceMin", on_bool=True),
    "reduce_or": _reduce("ReduceMax", on_bool=True),
    "argmax": _argmax,
    "top_k": _top_k,
    "cumsum": _sum_up,
    "cummax": _largest_so_far,
    "iota": _count,
    "dim_as_value": _length,
}


def primitives() -> tuple[str, ...]:
    """Returns the names of JAX's primitives that have an operation here."""
    return tuple(_OPERATIONS)


def add_operation(graph: OnnxGraph, equation: Any, inputs: Sequence[str]) -> list[str]:
    """Adds the nodes of an equation of a traced function; returns the names of its outputs.

    Args:
        graph: to add to.
        equation: of one of `primitives`.
        inputs: names of its inputs in the graph.

    Raises:
        NotHeldError: if the primitive, or this form of it, has no operation here.
    """
    primitive = equation.primitive.name
    if primitive not in _OPERATIONS:
        raise NotHeldError(f"JAX's operation {primitive}")
    try:
        found = _OPERATIONS[primitive](graph, equation, *inputs)
    except NotImplementedError:
        raise NotHeldError(f"this form of JAX's operation {primitive}") from None
    return [found] if isinstance(found, str) else found
