"""Programs in ONNX, which onnxruntime and other systems run."""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from flax_transformer.errors import UserError
from flax_transformer.functional.kernels import formulas_only
from flax_transformer.interchange.programs.model_programs import (
    Arrays,
    Format,
    Kind,
    Program,
    Runner,
    weights_of,
)
from flax_transformer.interchange.programs.onnx_graph import OnnxGraph, num_bytes
from flax_transformer.interchange.programs.onnx_operations import add_operation
from flax_transformer.tasks.task import Variables

SUFFIX = ".onnx"
# A file of ONNX has at most 2 GiB; larger weights are written beside it.
LARGEST_FILE = 2_000_000_000


def write_onnx(
    folder: Path, programs: Mapping[str, Program], variables: Variables
) -> dict[str, Any]:
    """Writes each program with the weights that it reads.

    Args:
        folder: to write into.
        programs: by name.
        variables: of the model.

    Returns:
        The versions of the packages that matter to a reader.

    Raises:
        UserError: if a package is not installed.
        NotHeldError: if a program has an operation of JAX for which there is none here.
    """
    onnx = _import("onnx")
    _import("onnxruntime")
    weights = weights_of(variables)
    for name, program in programs.items():
        model = onnx_model(program, weights)
        path = folder / f"{name}{SUFFIX}"
        if num_bytes(weights) < LARGEST_FILE:
            onnx.save_model(model, path)
        else:
            location = f"{name}.weights"
            onnx.save_model(model, path, save_as_external_data=True, location=location)
    opset = model.opset_import[0].version
    return {"jax": jax.__version__, "onnx": onnx.__version__, "opset": opset}


def onnx_model(program: Program, weights: Mapping[str, np.ndarray]) -> Any:
    """Converts a program to a model of ONNX.

    Args:
        program: of a model.
        weights: by name; those that the program reads become constants of these names.
    """
    graph, outputs = graph_of(program, weights)
    return graph.model(dict(program.inputs), outputs, f"flax_transformer, jax {jax.__version__}")


def graph_of(
    program: Program, weights: Mapping[str, np.ndarray]
) -> tuple[OnnxGraph, dict[str, Kind]]:
    """Traces a program, and converts it to a graph of ONNX, without the package onnx.

    Args:
        program: of a model.
        weights: see `onnx_model`.

    Returns:
        The graph, and the kind of each output.

    Raises:
        NotHeldError: if the program has an operation of JAX for which there is none here.
    """
    with formulas_only():
        traced = jax.jit(program.of_weights).trace(dict(weights), program.symbolic_inputs())
    closed, graph = traced.jaxpr, OnnxGraph()
    # The arguments in the order in which JAX takes the leaves of dictionaries.
    names = [*sorted(weights), *sorted(program.inputs)]
    graph.constants |= weights
    for name, kind in program.inputs.items():
        graph.name_axes(name, kind.axes)
    found = _add(graph, closed.jaxpr, closed.consts, names)
    outputs = {}
    for name, value, aval in zip(sorted(traced.out_info), found, closed.out_avals, strict=True):
        graph.name_output(value, name)
        axes = tuple(axis if isinstance(axis, int) else str(axis) for axis in aval.shape)
        outputs[name] = Kind(axes, str(aval.dtype))
    return graph, outputs


def open_onnx(folder: Path) -> Runner:
    """Returns what runs the programs that were written, by onnxruntime on a CPU."""
    runtime = _import("onnxruntime")
    providers = ["CPUExecutionProvider"]
    sessions = {
        path.stem: runtime.InferenceSession(path, providers=providers)
        for path in folder.glob(f"*{SUFFIX}")
    }

    def run(name: str, inputs: Arrays) -> dict[str, np.ndarray]:
        session = sessions[name]
        given = {key: np.asarray(array) for key, array in inputs.items()}
        found = session.run(None, given)
        names = (output.name for output in session.get_outputs())
        return dict(zip(names, found, strict=True))

    return run


# Primitives that only call a function.
CALLS = ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint")


def _add(
    graph: OnnxGraph, program: Jaxpr, constants: Sequence[Any], inputs: Sequence[str]
) -> list[str]:
    """Adds the nodes of a function; returns the names of its outputs."""
    known = dict(zip(program.invars, inputs, strict=True))
    for variable, array in zip(program.constvars, constants, strict=True):
        known[variable] = graph.constant(np.asarray(array))

    def name_of(atom: Any) -> str:
        if isinstance(atom, Literal):
            aval: Any = atom.aval
            return graph.constant(atom.val, aval.dtype)
        return known[atom]

    for equation in program.eqns:
        given = list(map(name_of, equation.invars))
        if equation.primitive.name in CALLS:
            (called,) = _functions(equation.params)
            found = _add(graph, called.jaxpr, called.consts, given)
        else:
            found = add_operation(graph, equation, given)
        known |= zip(equation.outvars, found, strict=True)
    return list(map(name_of, program.outvars))


def _functions(params: Mapping[str, Any]) -> Iterator[ClosedJaxpr]:
    """The functions among the parameters of a primitive."""
    for value in params.values():
        if isinstance(value, ClosedJaxpr):
            yield value
        elif isinstance(value, Jaxpr):
            yield ClosedJaxpr(value, ())


def _import(package: str) -> Any:
    try:
        # An optional dependency that a type checker may not find.
        return importlib.import_module(package)
    except ImportError:
        raise UserError(
            f"--format onnx needs the package {package}, which is not installed: run pip install "
            "'flax_transformer[onnx]'"
        ) from None


ONNX = Format("onnx", SUFFIX, write_onnx, open_onnx, ("onnx", "opset"))
