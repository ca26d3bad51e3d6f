"""Operations of JAX that take or replace parts of a value, in ONNX; see `onnx_operations`."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from flax_transformer.interchange.programs.onnx_graph import OnnxGraph


def static_slice(graph: OnnxGraph, equation: Any, value: str) -> str:
    """A part with fixed places."""
    starts, stops = equation.params["start_indices"], equation.params["limit_indices"]
    steps = equation.params["strides"] or (1,) * len(starts)
    axes = graph.whole(*range(len(starts)))
    return graph.add(
        "Slice", value, graph.shape(starts), graph.shape(stops), axes, graph.whole(*steps)
    )


def pad(graph: OnnxGraph, equation: Any, value: str, filling: str) -> str:
    """A value with more of a number around it."""
    config = equation.params["padding_config"]
    if any(between for _, _, between in config):
        raise NotImplementedError
    widths = [low for low, _, _ in config] + [high for _, high, _ in config]
    return graph.add("Pad", value, graph.shape(widths), filling)


def reverse(graph: OnnxGraph, equation: Any, value: str) -> str:
    """A value backwards along some axes."""
    axes = equation.params["dimensions"]
    end, back = graph.whole(*[-1] * len(axes)), graph.whole(*[np.iinfo(np.int64).min] * len(axes))
    return graph.add("Slice", value, end, back, graph.whole(*axes), end)


def split(graph: OnnxGraph, equation: Any, value: str) -> list[str]:
    """The parts of a value along an axis."""
    sizes = equation.params["sizes"]
    return graph.add_several(
        "Split", [value, graph.shape(sizes)], len(sizes), axis=equation.params["axis"]
    )


def _start(graph: OnnxGraph, start: str, length: Any, size: Any) -> str:
    """The first place of a part, moved so that the part fits."""
    start = graph.add("Reshape", graph.cast(start, np.int64), graph.whole(1))
    last = graph.add("Sub", graph.length(length), graph.length(size))
    return graph.add("Max", graph.add("Min", start, last), graph.whole(0))


def _part(
    graph: OnnxGraph, value: str, starts: Mapping[int, str], shape: Sequence[Any], sizes: Any
) -> str:
    """The part of a value with these sizes, from the start of each axis."""
    for axis, start in starts.items():
        if str(sizes[axis]) != str(shape[axis]):
            first = _start(graph, start, shape[axis], sizes[axis])
            end = graph.add("Add", first, graph.length(sizes[axis]))
            value = graph.add("Slice", value, first, end, graph.whole(axis))
    return value


def dynamic_slice(graph: OnnxGraph, equation: Any, value: str, *starts: str) -> str:
    """A part whose first place is computed."""
    shape, sizes = equation.invars[0].aval.shape, equation.params["slice_sizes"]
    return _part(graph, value, dict(enumerate(starts[: len(shape)])), shape, sizes)


def _with_part(
    graph: OnnxGraph, value: str, part: str, starts: Mapping[int, str], shape: Any, sizes: Any
) -> str:
    """The value with another part, which is smaller than it along one axis."""
    axes = [axis for axis in range(len(shape)) if str(shape[axis]) != str(sizes[axis])]
    if not axes:
        return part
    if len(axes) > 1:
        raise NotImplementedError
    (axis,) = axes
    first = _start(graph, starts[axis], shape[axis], sizes[axis])
    end = graph.add("Add", first, graph.length(sizes[axis]))
    before = graph.add("Slice", value, graph.whole(0), first, graph.whole(axis))
    after = graph.add("Slice", value, end, graph.length(shape[axis]), graph.whole(axis))
    return graph.add("Concat", before, part, after, axis=axis)


def dynamic_update_slice(
    graph: OnnxGraph, equation: Any, value: str, part: str, *starts: str
) -> str:
    """A value with another part, whose first place is computed."""
    shape, sizes = (atom.aval.shape for atom in equation.invars[:2])
    return _with_part(graph, value, part, dict(enumerate(starts[: len(shape)])), shape, sizes)


def _components(graph: OnnxGraph, index: str, axes: Sequence[int]) -> dict[int, str]:
    """The number of an index for each axis."""
    return {axis: graph.add("Gather", index, graph.whole(place)) for place, axis in enumerate(axes)}


def gather(graph: OnnxGraph, equation: Any, value: str, indices: str) -> str:
    """Values at indices; see `jax.lax.gather`."""
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    operand, given = (atom.aval for atom in equation.invars)
    if given.ndim > 1:
        return _gather_points(graph, equation, value, indices)
    starts = _components(graph, indices, numbers.start_index_map)
    part = _part(graph, value, starts, operand.shape, sizes)
    gone = numbers.collapsed_slice_dims
    return graph.add("Squeeze", part, graph.whole(*gone)) if gone else part


def _gather_points(graph: OnnxGraph, equation: Any, value: str, indices: str) -> str:
    """Several parts, each of one place along some axes and whole along the others."""
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    operand, given = (atom.aval for atom in equation.invars)
    batching, batched = numbers.operand_batching_dims, numbers.start_indices_batching_dims
    # The index along an axis that is taken as a whole is 0.
    points = [i for i in numbers.start_index_map if str(sizes[i]) != str(operand.shape[i])]
    others = [i for i in range(operand.ndim) if i not in (*batching, *points)]
    is_whole = all(str(sizes[i]) == str(operand.shape[i]) for i in others)
    if not points or not is_whole or any(sizes[i] != 1 for i in points):
        raise NotImplementedError
    columns = graph.whole(*(numbers.start_index_map.index(i) for i in points))
    indices = graph.add("Gather", graph.cast(indices, np.int64), columns, axis=-1)
    if equation.params["mode"] == jax.lax.GatherScatterMode.CLIP:
        last = graph.add("Sub", graph.shape([operand.shape[i] for i in points]), graph.whole(1))
        indices = graph.add("Min", graph.add("Max", indices, graph.whole(0)), last)
    rest = [i for i in range(given.ndim - 1) if i not in batched]
    value = graph.add("Transpose", value, perm=[*batching, *points, *others])
    indices = graph.add("Transpose", indices, perm=[*batched, *rest, given.ndim - 1])
    found = graph.add("GatherND", value, indices, batch_dims=len(batching))
    kept = [i for i in points if i not in numbers.collapsed_slice_dims]
    axes = [*(("index", i) for i in (*batched, *rest)), *(("value", i) for i in (*others, *kept))]
    if kept:
        found = graph.add("Unsqueeze", found, graph.whole(*range(len(axes) - len(kept), len(axes))))
    window = iter(sorted((*others, *kept)))
    index = iter(range(given.ndim - 1))
    wanted = [
        ("value", next(window)) if i in numbers.offset_dims else ("index", next(index))
        for i in range(len(axes))
    ]
    return graph.add("Transpose", found, perm=[axes.index(axis) for axis in wanted])


def scatter(graph: OnnxGraph, equation: Any, value: str, indices: str, new: str) -> str:
    """One part of a value is replaced."""
    numbers = equation.params["dimension_numbers"]
    operand, given, part = (atom.aval for atom in equation.invars)
    inserted = numbers.inserted_window_dims
    if given.ndim != 1:
        raise NotImplementedError
    if inserted:
        new = graph.add("Unsqueeze", new, graph.whole(*inserted))
    lengths = iter(part.shape)
    sizes = [1 if axis in inserted else next(lengths) for axis in range(operand.ndim)]
    starts = _components(graph, indices, numbers.scatter_dims_to_operand_dims)
    return _with_part(graph, value, new, starts, operand.shape, sizes)


def scatter_add(graph: OnnxGraph, equation: Any, value: str, indices: str, new: str) -> str:
    """Sums at places of the last axis, as in a count."""
    numbers, operand = equation.params["dimension_numbers"], equation.invars[0].aval
    (axis,) = numbers.scatter_dims_to_operand_dims
    batching = numbers.operand_batching_dims
    if axis != operand.ndim - 1 or batching != tuple(range(axis)) or numbers.update_window_dims:
        raise NotImplementedError
    places = graph.add("Squeeze", indices, graph.whole(-1))
    return graph.add("ScatterElements", value, places, new, axis=axis, reduction="add")
