"""What XLA's compiler for CPUs is to be told."""

import jax
from jaxtyping import Array


def is_cpu() -> bool:
    """Whether programs are compiled for a CPU."""
    return jax.default_backend() == "cpu"


def computed_once(array: Array) -> Array:
    """Keeps XLA on a CPU from computing an array anew wherever it is used.

    Computing again saves an accelerator the way to its memory. On a CPU it costs time, and memory
    too where what an array is computed from is as large as the array.
    """
    return jax.lax.optimization_barrier(array) if is_cpu() else array
