"""A graph of ONNX that grows node by node, with axes whose lengths are known when it runs."""

import ast
import dataclasses
import importlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# ScatterElements has sums from this version on.
OPSET = 18
# Equal constants of at most so many numbers are kept once.
SMALL = 16


@dataclasses.dataclass
class Node:
    """An operation of a graph.

    Attributes:
        operation: its name in ONNX.
        inputs: names of values; those of the outputs likewise.
        outputs: see `inputs`.
        attributes: by name; a type of numbers is the name that NumPy gives it.
    """

    operation: str
    inputs: list[str]
    outputs: list[str]
    attributes: Mapping[str, Any]


class OnnxGraph:
    """A graph under construction; every value in it has a name.

    Only `model` needs the package onnx.

    Attributes:
        nodes: in the order in which they run.
        constants: arrays by name.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}
        self._small: dict[Any, str] = {}
        self._axes: dict[str, str] = {}
        self._lengths: dict[str, str] = {}
        self._outputs: dict[str, str] = {}

    def add(self, operation: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node with one output; returns the name of the output."""
        return self.add_several(operation, inputs, 1, **attributes)[0]

    def add_several(
        self, operation: str, inputs: Sequence[str], number: int, **attributes: Any
    ) -> list[str]:
        """Adds a node; returns the names of its outputs."""
        outputs = [f"{operation}_{len(self.nodes)}_{place}" for place in range(number)]
        self.nodes.append(Node(operation, list(inputs), list(outputs), attributes))
        return outputs

    def constant(self, values: Any, dtype: Any = None) -> str:
        """Returns the name of an array of these values; those of lengths are int64."""
        array = np.asarray(values, dtype)
        name = f"constant_{len(self.constants)}"
        if array.size <= SMALL:
            name = self._small.setdefault((array.dtype, array.shape, array.tobytes()), name)
        self.constants.setdefault(name, array)
        return name

    def whole(self, *values: int) -> str:
        """Returns the name of a row of whole numbers, as axes and lengths are given to nodes."""
        return self.constant(values, np.int64)

    def name_axes(self, name: str, axes: Sequence[int | str]) -> None:
        """Lets the named axes of an input say how long all axes of these names are."""
        for place, axis in enumerate(axes):
            if isinstance(axis, str) and axis not in self._axes:
                shape = self.add("Shape", name)
                self._axes[axis] = self.add("Gather", shape, self.whole(place))

    def name_output(self, value: str, name: str) -> None:
        """Gives a value the name of an output; nothing is added to the graph after that."""
        if value in self._outputs or not any(value in node.outputs for node in self.nodes):
            value = self._outputs.get(value, value)
            self.nodes.append(Node("Identity", [value], [name], {}))
            return
        # Another node would copy the value.
        self._outputs[value] = name
        for node in self.nodes:
            for names in (node.inputs, node.outputs):
                for place, other in enumerate(names):
                    if other == value:
                        names[place] = name

    def length(self, dimension: Any) -> str:
        """Returns the name of a length, [1]: a number, or an expression of named axes."""
        if isinstance(dimension, int):
            return self.whole(dimension)
        text = str(dimension)
        if text not in self._lengths:
            self._lengths[text] = self._computed(
                ast.parse(text.replace("^", "**"), mode="eval").body
            )
        return self._lengths[text]

    def shape(self, dimensions: Sequence[Any]) -> str:
        """Returns the name of a shape."""
        if all(isinstance(dimension, int) for dimension in dimensions):
            return self.whole(*dimensions)
        return self.add("Concat", *map(self.length, dimensions), axis=0)

    def cast(self, name: str, dtype: Any) -> str:
        """Converts the numbers of a value."""
        return self.add("Cast", name, to=np.dtype(dtype).name)

    def model(self, inputs: dict[str, Any], outputs: dict[str, Any], written_by: str) -> Any:
        """Makes the model.

        Args:
            inputs: type and axes by name.
            outputs: likewise.
            written_by: kept in the file.
        """
        onnx = importlib.import_module("onnx")
        helper = onnx.helper

        def code(dtype: Any) -> int:
            return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

        def infos(kinds: dict[str, Any]) -> list[Any]:
            return [
                helper.make_tensor_value_info(name, code(kind.dtype), list(kind.axes))
                for name, kind in kinds.items()
            ]

        nodes = []
        for node in self.nodes:
            attributes = dict(node.attributes)
            if node.operation == "Cast":
                attributes["to"] = code(attributes["to"])
            nodes.append(helper.make_node(node.operation, node.inputs, node.outputs, **attributes))
        used = {name for node in self.nodes for name in node.inputs}
        constants = [
            onnx.numpy_helper.from_array(array, name)
            for name, array in self.constants.items()
            if name in used
        ]
        graph = helper.make_graph(nodes, "program", infos(inputs), infos(outputs), constants)
        opsets = [helper.make_opsetid("", OPSET)]
        # The version of the file format that came with these operations.
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=8, producer_name=written_by
        )

    def _computed(self, node: ast.expr) -> str:
        """Adds the nodes that compute a length from the text of its expression."""
        match node:
            case ast.Constant(value=int(value)):
                return self.whole(value)
            case ast.Name(id=axis):
                return self._axes[axis]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self.add("Neg", self._computed(operand))
            case ast.BinOp(left=left, op=operation, right=right):
                known = {ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul"}
                sides = self._computed(left), self._computed(right)
                if isinstance(operation, ast.Pow):
                    assert isinstance(right, ast.Constant)
                    assert isinstance(right.value, int)
                    return self._product([sides[0]] * right.value)
                return self.add(known[type(operation)], *sides)
            case ast.Call(func=ast.Name(id=function), args=[left, right]):
                # Lengths are not negative, so that a quotient is cut off as it is rounded down.
                known = {"floordiv": "Div", "mod": "Mod", "max": "Max", "min": "Min"}
                return self.add(known[function], self._computed(left), self._computed(right))
        raise ValueError(f"unknown expression of lengths: {ast.unparse(node)}")

    def _product(self, factors: Sequence[str]) -> str:
        first, *others = factors
        for other in others:
            first = self.add("Mul", first, other)
        return first


def num_bytes(arrays: dict[str, np.ndarray]) -> int:
    """Counts the bytes of arrays."""
    return sum(array.dtype.itemsize * math.prod(array.shape) for array in arrays.values())
