"""Implementations of functions that are faster or need less memory.

A formula that has such a kernel is decorated by `with_kernel`. The form of a kernel that runs
depends on the platform that a program is compiled for, never on the one that traces it.
"""

import contextlib
import functools
import importlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
from jaxtyping import Array


class Kernel(NamedTuple):
    """A formula and its faster or leaner implementation.

    Attributes:
        formula: the function to compute, as module:function.
        kernel: its implementation, with the same arguments: a function, or module:function, which
            is imported when it first runs.
        runs: when the kernel runs, in one line; otherwise the formula runs.
        no_forward_mode: why it cannot be differentiated in forward mode; empty if it can.
    """

    formula: str
    kernel: str | Callable[..., Any]
    runs: str
    no_forward_mode: str = ""


_FUNCTIONAL = "flax_transformer.functional"
_KERNELS = f"{_FUNCTIONAL}.kernels"

KERNELS: dict[str, Kernel] = {
    "softmax": Kernel(
        f"{_FUNCTIONAL}.attention:masked_softmax",
        f"{_KERNELS}.lean_gradients:masked_softmax",
        "always; the gradient keeps nothing but the weights",
    ),
    "unit_mean_square": Kernel(
        f"{_FUNCTIONAL}.normalization:to_unit_mean_square",
        f"{_KERNELS}.lean_gradients:to_unit_mean_square",
        "always; the gradient keeps nothing but the result and its divisors",
    ),
    "cross_entropy": Kernel(
        f"{_FUNCTIONAL}.losses:weighted_losses",
        f"{_KERNELS}.chunked_losses:weighted_losses",
        "always; the gradient keeps one array of the size of the logits",
        "the gradient in reverse mode is written by hand, and skips positions of weight 0",
    ),
    "linear_cross_entropy": Kernel(
        f"{_FUNCTIONAL}.losses:linear_losses",
        f"{_KERNELS}.chunked_losses:linear_losses",
        "always; some positions at a time, so that the logits never exist as a whole",
        "the gradient in reverse mode is made together with the loss",
    ),
    "product": Kernel(
        f"{_FUNCTIONAL}.projection:multiply",
        f"{_KERNELS}.sixteen_bits:multiply",
        "for 16 bits; on a CPU sums are float32, in the gradients too",
        "the gradient in reverse mode is written by hand, to have factors of 16 bits",
    ),
    "weighted_sum": Kernel(
        f"{_FUNCTIONAL}.attention:weighted_sum",
        f"{_KERNELS}.sixteen_bits:weighted_sum",
        "for 16 bits; on a CPU sums are float32",
    ),
    "random_trials": Kernel(
        f"{_FUNCTIONAL}.dropout:threefry_trials",
        f"{_KERNELS}.threefry_trials:threefry_trials",
        "always; the rounds of Threefry are written out, on a CPU in two parts",
    ),
    "cache_write": Kernel(
        f"{_FUNCTIONAL}.cache:write",
        f"{_KERNELS}.sixteen_bits:write",
        "for 16 bits; a CPU writes them as whole numbers",
    ),
    "top_k": Kernel(
        f"{_FUNCTIONAL}.ranking:top_k",
        f"{_KERNELS}.ranking_by_blocks:top_k",
        "on a CPU, to find few of many",
    ),
    "argmax": Kernel(
        f"{_FUNCTIONAL}.ranking:argmax",
        f"{_KERNELS}.ranking_by_blocks:argmax",
        "on a CPU, to find one of many",
    ),
    "auto": Kernel(
        f"{_FUNCTIONAL}.heads:attend_at_once",
        f"{_KERNELS}.attention_forms:attend_by_number",
        "always, to attend in blocks if there are very many scores",
    ),
    "blockwise": Kernel(
        f"{_FUNCTIONAL}.heads:attend_at_once",
        f"{_KERNELS}.attention_forms:attend_in_blocks",
        "if it is asked for by its name; never holds all weights",
    ),
    "cudnn": Kernel(
        f"{_FUNCTIONAL}.heads:attend_at_once",
        f"{_KERNELS}.attention_forms:cudnn_attend",
        "if it is asked for by its name, on NVIDIA GPUs in 16 bits",
        "NVIDIA's library has the gradient in reverse mode only",
    ),
}

_takes_formulas = False


def with_kernel(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorates a formula: calls run the kernel of this name in `KERNELS`.

    The formula itself is the attribute `formula` of the decorated function.
    """

    def decorate(formula: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(formula)
        def run(*args: Any, **options: Any) -> Any:
            return (formula if _takes_formulas else kernel(name))(*args, **options)

        run.formula = formula  # pyright: ignore[reportAttributeAccessIssue]
        return run

    return decorate


def kernel(name: str) -> Callable[..., Any]:
    """Returns the function of a kernel in `KERNELS`."""
    return _find(KERNELS[name].kernel)


def formula(name: str) -> Callable[..., Any]:
    """Returns the formula that a kernel in `KERNELS` computes."""
    found = _find(KERNELS[name].formula)
    return getattr(found, "formula", found)


def _find(place: str | Callable[..., Any]) -> Callable[..., Any]:
    if callable(place):
        return place
    module, _, function = place.partition(":")
    return getattr(importlib.import_module(module), function)


@contextlib.contextmanager
def formulas_only() -> Iterator[None]:
    """Replaces kernels by formulas in everything traced within, for example to export a program.

    Kernels requested by name still run. JAX's caches are cleared at the beginning and at the end:
    programs traced outside contain kernels, those traced within do not.
    """
    global _takes_formulas
    jax.clear_caches()
    _takes_formulas = True
    try:
        yield
    finally:
        _takes_formulas = False
        jax.clear_caches()


def computed_once(array: Array) -> Array:
    """Keeps XLA on a CPU from recomputing an array wherever it is used.

    On an accelerator, recomputing saves memory accesses. On a CPU it costs time, and also memory if
    the array is computed from one of the same size.
    """
    return jax.lax.platform_dependent(
        array, cpu=jax.lax.optimization_barrier, default=lambda array: array
    )
