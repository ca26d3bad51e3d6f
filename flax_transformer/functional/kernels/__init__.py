"""Forms of functions that a processor computes fastest, or with the least memory.

A formula that has such a form is decorated by `with_kernel`. Which form of a kernel runs depends on
the platform that a program is compiled for, never on the one that traces it.
"""

import contextlib
import functools
import importlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
from jaxtyping import Array


class Kernel(NamedTuple):
    """A function and the form of it that runs.

    Attributes:
        formula: what is computed, as module:function.
        kernel: what computes it, with the same arguments; a function, or module:function, which is
            imported when it first runs.
        runs: when it runs, in one line; where it does not, the formula does.
        no_forward_mode: why it cannot be differentiated in forward mode; empty where it can.
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
    """Decorates a formula, so that a call of it runs the kernel of a name in `KERNELS`.

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
    """Gives the function of a kernel in `KERNELS`."""
    return _find(KERNELS[name].kernel)


def formula(name: str) -> Callable[..., Any]:
    """Gives the formula that a kernel in `KERNELS` computes."""
    found = _find(KERNELS[name].formula)
    return getattr(found, "formula", found)


def _find(place: str | Callable[..., Any]) -> Callable[..., Any]:
    if callable(place):
        return place
    module, _, function = place.partition(":")
    return getattr(importlib.import_module(module), function)


@contextlib.contextmanager
def formulas_only() -> Iterator[None]:
    """Makes all that is traced within take formulas, as for a program to be exported.

    Kernels that are asked for by their names are taken still. Programs that were traced before are
    forgotten, at the end too, for they hold kernels.
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
    """Keeps XLA on a CPU from computing an array again wherever it is used.

    Computing again saves an accelerator the way to its memory. On a CPU it costs time, and memory
    too where the array is computed from one that is as large.
    """
    return jax.lax.platform_dependent(
        array, cpu=jax.lax.optimization_barrier, default=lambda array: array
    )
