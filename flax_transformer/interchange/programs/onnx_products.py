"""Products of JAX in ONNX; see `onnx_operations`."""

import math
from typing import Any

from flax_transformer.interchange.programs.onnx_graph import OnnxGraph


def multiply(graph: OnnxGraph, equation: Any, left: str, right: str) -> str:
    """A product of matrices; onnxruntime is several times slower at an Einsum."""
    (of_left, of_right), (batch_left, batch_right) = equation.params["dimension_numbers"]
    first, second = (atom.aval.shape for atom in equation.invars)
    rows = [axis for axis in range(len(first)) if axis not in (*of_left, *batch_left)]
    columns = [axis for axis in range(len(second)) if axis not in (*of_right, *batch_right)]
    left = _as_matrices(graph, left, first, batch_left, rows, of_left)
    right = _as_matrices(graph, right, second, batch_right, of_right, columns)
    product = graph.add("MatMul", left, right)
    result = equation.outvars[0].aval
    if (len(rows), len(columns)) != (1, 1):
        product = graph.add("Reshape", product, graph.shape(result.shape))
    is_same = result.dtype == equation.invars[0].aval.dtype
    return product if is_same else graph.cast(product, result.dtype)


def _as_matrices(
    graph: OnnxGraph, value: str, shape: Any, batch: Any, rows: Any, columns: Any
) -> str:
    """One matrix for each index of the batch axes."""
    order = [*batch, *rows, *columns]
    if order != sorted(order):
        value = graph.add("Transpose", value, perm=order)
    if (len(rows), len(columns)) == (1, 1):
        return value
    sides = [math.prod(shape[axis] for axis in axes) for axes in (rows, columns)]
    return graph.add("Reshape", value, graph.shape([*(shape[axis] for axis in batch), *sides]))
