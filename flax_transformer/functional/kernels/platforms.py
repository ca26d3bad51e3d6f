"""Forms that depend on the platform that a program is compiled for."""

import jax
from jaxtyping import Array


def computed_once(array: Array) -> Array:
    """Keeps XLA on a CPU from computing an array again wherever it is used.

    Computing again saves an accelerator the way to its memory. On a CPU it costs time, and memory
    too where the array is computed from one that is as large.
    """
    return jax.lax.platform_dependent(
        array, cpu=jax.lax.optimization_barrier, default=lambda array: array
    )
