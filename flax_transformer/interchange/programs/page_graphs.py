"""Programs as the page of a model holds them: graphs as plain data, and the numbers of arrays."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flax_transformer.interchange.programs.model_programs import NotHeldError, Program, weights_of
from flax_transformer.interchange.programs.onnx_graph import Node, OnnxGraph
from flax_transformer.interchange.programs.onnx_programs import graph_of
from flax_transformer.tasks.task import Variables

# Types of numbers of the page's engine; lengths fit into 32 bits.
TYPES = {name: name for name in ("float32", "int32", "uint8", "bool")} | {"int64": "int32"}


class PackedArrays:
    """The arrays of all programs one after the other; equal ones are kept once.

    Attributes:
        table: type, shape, first byte and whether the numbers have 16 bits, for each array.
        contents: the bytes.
    """

    def __init__(self) -> None:
        self.table: list[dict[str, Any]] = []
        self.contents = bytearray()
        self._places: dict[Any, int] = {}

    def add(self, array: np.ndarray, *, is_half: bool = False) -> int:
        """Keeps an array; returns its place in the table.

        Raises:
            NotHeldError: if its numbers have a type that the engine does not have.
        """
        dtype = held_type(array.dtype.name)
        if dtype == "int32":
            # Ends of slices that mean "as far as possible" are larger.
            limits = np.iinfo(np.int32)
            array = np.clip(array, limits.min, limits.max)
        contents = array.astype(np.float16 if is_half else dtype).tobytes()
        key = (dtype, array.shape, is_half, hashlib.sha256(contents).digest())
        if key not in self._places:
            self._places[key] = len(self.table)
            entry = {"dtype": dtype, "shape": array.shape, "offset": len(self.contents)}
            self.table.append({**entry, "isHalf": is_half})
            self.contents += contents
        return self._places[key]


def held_type(dtype: str) -> str:
    """Returns the type that the engine has for a type of NumPy.

    Raises:
        NotHeldError: if there is none.
    """
    if dtype not in TYPES:
        raise NotHeldError(f"numbers of the type {dtype}")
    return TYPES[dtype]


def pack_programs(
    programs: Mapping[str, Program], variables: Variables
) -> tuple[dict[str, Any], bytes]:
    """Makes the graphs of programs, which share arrays.

    Args:
        programs: by name.
        variables: of the model; float16 must hold them exactly.

    Returns:
        Plain data: each program by name, and the table of arrays. Then the bytes of the arrays.

    Raises:
        NotHeldError: if a program has an operation that there is none for.
    """
    weights, arrays = weights_of(variables), PackedArrays()
    packed = {}
    for name, program in programs.items():
        graph, outputs = graph_of(program, weights)
        packed[name] = _packed(graph, list(program.inputs), list(outputs), weights, arrays)
    return {"programs": packed, "arrays": arrays.table}, bytes(arrays.contents)


def _packed(
    graph: OnnxGraph,
    inputs: Sequence[str],
    outputs: Sequence[str],
    weights: Mapping[str, np.ndarray],
    arrays: PackedArrays,
) -> dict[str, Any]:
    """A graph whose values are numbered in the order in which they are made."""
    nodes = _needed(graph.nodes, outputs)
    numbers: dict[str, int] = {}

    def number_of(name: str) -> int:
        return numbers.setdefault(name, len(numbers))

    read = {name: number_of(name) for name in inputs}
    constants = []
    for name, array in graph.constants.items():
        if any(name in node.inputs for node in nodes):
            is_half = name in weights and array.dtype == np.float32
            constants.append((number_of(name), arrays.add(array, is_half=is_half)))
    described = [
        (
            node.operation,
            [number_of(name) for name in node.inputs],
            [number_of(name) for name in node.outputs],
            _attributes(node),
        )
        for node in nodes
    ]
    written = {name: numbers[name] for name in outputs}
    return {
        "inputs": read,
        "outputs": written,
        "constants": constants,
        "nodes": described,
        "size": len(numbers),
    }


def _needed(nodes: Sequence[Node], outputs: Sequence[str]) -> list[Node]:
    """The nodes on which outputs depend."""
    needed, kept = {*outputs}, []
    for node in reversed(nodes):
        if not needed.isdisjoint(node.outputs):
            needed |= {*node.inputs}
            kept.append(node)
    return kept[::-1]


def _attributes(node: Node) -> dict[str, Any]:
    if node.operation == "Cast":
        return {"to": held_type(node.attributes["to"])}
    return {
        name: value if isinstance(value, str) else np.asarray(value).tolist()
        for name, value in node.attributes.items()
    }
