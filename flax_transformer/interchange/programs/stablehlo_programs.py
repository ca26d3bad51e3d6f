"""Programs in StableHLO, the portable form in which JAX keeps functions.

Weights are arguments, in a file of NumPy: a program is small, and weights can be replaced.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.export
import numpy as np

from flax_transformer.functional.kernels import formulas_only
from flax_transformer.interchange.programs.model_programs import (
    Format,
    NotHeldError,
    Program,
    Runner,
    weights_of,
)
from flax_transformer.tasks.task import Variables

WEIGHTS = "weights.npz"
SUFFIX = ".stablehlo"
PLATFORMS = ("cpu", "cuda", "tpu")
# https://docs.jax.dev/en/latest/export/export.html#compatibility-guarantees
PROMISE = "JAX promises that a jaxlib up to 6 months newer or 3 weeks older runs them"


def write_stablehlo(
    folder: Path, programs: Mapping[str, Program], variables: Variables
) -> dict[str, Any]:
    """Writes each program, and the weights of all.

    Args:
        folder: to write into.
        programs: by name.
        variables: of the model.

    Returns:
        The version of JAX, and that of the convention by which programs are called.

    Raises:
        NotHeldError: if JAX cannot keep a program.
    """
    weights: Any = weights_of(variables)
    conventions = set()
    for name, program in programs.items():
        # A kernel would choose its form by the platform.
        with formulas_only():
            export = jax.export.export(jax.jit(program.of_weights), platforms=PLATFORMS)
            try:
                exported = export(weights, program.symbolic_inputs())
                contents = exported.serialize()
            except (ValueError, NotImplementedError) as error:
                raise NotHeldError("code that later versions of jaxlib may not have") from error
        (folder / f"{name}{SUFFIX}").write_bytes(contents)
        conventions.add(exported.calling_convention_version)
    np.savez(folder / WEIGHTS, **weights)
    (convention,) = conventions
    return {
        "jax": jax.__version__,
        "calling_convention_version": convention,
        "platforms": PLATFORMS,
        "weights": WEIGHTS,
    }


def open_stablehlo(folder: Path) -> Runner:
    """Returns what runs the programs that were written."""
    weights = dict(np.load(folder / WEIGHTS))
    compiled = {
        path.stem: jax.jit(jax.export.deserialize(bytearray(path.read_bytes())).call)
        for path in folder.glob(f"*{SUFFIX}")
    }
    return lambda name, inputs: compiled[name](weights, dict(inputs))


STABLEHLO = Format("stablehlo", SUFFIX, write_stablehlo, open_stablehlo, ("jax",), (PROMISE,))
