"""Times implementations of attention at several lengths, interleaved, on this machine.

    python experiments/benchmarks/attention.py

Times the gradient of causal self-attention with respect to queries, keys and values, as in a
training step without projections. Every batch has the same number of tokens, so longer sequences
are fewer, and the number of scores grows with the length.

- xla: `attend` under `vmap` over all heads of all examples; holds all weights.
- blockwise: one block of queries at a time; holds the weights of a block.
- cudnn: the fused kernel of NVIDIA's library, only on its GPUs and with --dtype bfloat16.

"auto" marks the default choice of `multi_head_attend` between the first two. The memory is that of
the temporary arrays of the compiled program. What a device cannot run is reported, with the reason,
and the others are measured. Takes about six minutes on two CPU cores, nearly all
of them for xla at 2,048 and more tokens.
"""

import dataclasses
import functools
import json
import sys
from typing import Any, NamedTuple

import jax
from circumstances import circumstances, describe, tell
from jax.stages import Compiled
from rich.console import Console
from timing import Spread, time_in_turns
from work import matrix_product

from flax_transformer.cli import execute
from flax_transformer.console import say, show_table
from flax_transformer.errors import UserError, check_number, check_options
from flax_transformer.functional import causal_mask, multi_head_attend
from flax_transformer.functional.heads import attention_implementations
from flax_transformer.functional.kernels.attention_forms import blocks_pay
from flax_transformer.modules.layer_options import ComputeType

PEAK = "matrix product"


@dataclasses.dataclass(frozen=True)
class Attention:
    """Time the implementations of attention at several lengths."""

    lengths: tuple[int, ...] = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
    """Tokens of a sequence."""
    tokens: int = 8192
    """Tokens of a batch; a longer sequence than that is a batch of one."""
    num_heads: int = 8
    """Attention heads."""
    head_dim: int = 32
    """Width of a head's queries, keys and values."""
    dtype: ComputeType = "float32"
    """Type of the computation."""
    peak_size: int = 4096
    """Rows and columns of the matrices of the product that measures the device's speed."""
    num_repeats: int = 5
    """Timed runs of each implementation."""
    json: bool = False
    """Print JSON."""

    def __post_init__(self) -> None:
        """Rejects options that cannot be measured."""
        if not self.lengths:
            raise UserError("--lengths is empty: give one or several")
        for length in self.lengths:
            check_number("--lengths", length)
        check_options(self, "tokens", "num_heads", "head_dim", "peak_size", "num_repeats")

    def run(self) -> None:
        """Measures and prints."""
        results: list[Result] = []
        failures: list[Failure] = []
        for length in self.lengths:
            measured, failed = measure(length, self)
            results += measured
            failures += failed
        if self.json:
            print(json.dumps(as_json(results, failures, self), indent=2))
        else:
            show(results, failures, self)


class Result(NamedTuple):
    """Measurements of one implementation at one length.

    Attributes:
        length: tokens of a sequence.
        implementation: its name.
        seconds: of a forward and a backward pass.
        against_xla: the median of xla over its own; above 1 it is faster than xla. None if xla
            failed.
        temporary_bytes: of the compiled program.
        share_of_peak: operations per second of its products, without recomputed ones, over those of
            a large matrix product.
        is_auto: whether it is the default choice of `multi_head_attend`.
    """

    length: int
    implementation: str
    seconds: Spread
    against_xla: float | None
    temporary_bytes: int
    share_of_peak: float
    is_auto: bool


class Failure(NamedTuple):
    """An implementation that cannot be compiled or run at a length.

    Attributes:
        length: tokens of a sequence.
        implementation: its name.
        reason: the first line of the error.
    """

    length: int
    implementation: str
    reason: str


def implementations(options: Attention) -> tuple[str, ...]:
    """The implementations that this device may have for this type; "auto" is one of the others."""
    left_out = {"auto"}
    if jax.default_backend() != "gpu" or options.dtype != "bfloat16":
        left_out.add("cudnn")
    return tuple(name for name in attention_implementations() if name not in left_out)


def measure(length: int, options: Attention) -> tuple[list[Result], list[Failure]]:
    """Compiles and times all implementations at one length."""
    batch = max(1, options.tokens // length)
    shape = batch, length, options.num_heads, options.head_dim
    query, key, value = jax.random.normal(jax.random.key(0), (3, *shape), options.dtype)
    arrays = query, key, value, causal_mask(length)[None]
    tell(f"{batch} x {length} tokens")
    programs, failures = _compile_all(length, options, arrays)
    runs = {name: functools.partial(program, *arrays) for name, program in programs.items()}
    product = matrix_product(options.peak_size, options.dtype)
    times = time_in_turns({**runs, PEAK: product.run}, options.num_repeats, tell)
    num_scores = batch * options.num_heads * length**2
    auto = "blockwise" if blocks_pay(num_scores, jax.default_backend()) else "xla"
    # Two products in the forward pass, and two in the backward pass for each of them.
    flops = 6 * 2 * batch * options.num_heads * length**2 * options.head_dim
    results = [
        Result(
            length,
            name,
            times[name],
            times["xla"].median / times[name].median if "xla" in times else None,
            _temporary_bytes(program),
            flops / times[name].median * times[PEAK].median / product.flops,
            name == auto,
        )
        for name, program in programs.items()
    ]
    return results, failures


def _compile_all(
    length: int, options: Attention, arrays: tuple[jax.Array, ...]
) -> tuple[dict[str, Compiled], list[Failure]]:
    """Compiles and runs each implementation once."""
    programs, failures = {}, []
    for name in implementations(options):
        try:
            program = _compile(name, *arrays)
            jax.block_until_ready(program(*arrays))
        # Of JAX: the device has too little memory, or its kind does not have the kernel.
        except (RuntimeError, ValueError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            failures.append(Failure(length, name, reason))
            tell(f"{name} failed: {reason}")
        else:
            programs[name] = program
    return programs, failures


def _compile(implementation: Any, *arrays: jax.Array) -> Compiled:
    def loss(query, key, value, mask):
        attended: Any = multi_head_attend(
            query, key, value, mask=mask, implementation=implementation
        )
        return attended.sum()

    return jax.jit(jax.grad(loss, argnums=(0, 1, 2))).lower(*arrays).compile()


def _temporary_bytes(program: Compiled) -> int:
    analysis = program.memory_analysis()
    return analysis.temp_size_in_bytes if analysis else 0


def show(results: list[Result], failures: list[Failure], options: Attention) -> None:
    """Prints the measurements as a table, below a description of the machine."""
    console = Console()
    say(console, describe())
    rows = {
        f"{result.length:,} {result.implementation}{' (auto)' if result.is_auto else ''}": {
            "ms": f"{result.seconds.median * 1e3:,.4g}",
            "spread": f"{result.seconds.relative():.1%}",
            "times xla": "" if result.against_xla is None else f"{result.against_xla:.2f}",
            "MiB": f"{result.temporary_bytes / 2**20:,.0f}",
            "of peak": f"{result.share_of_peak:.1%}",
        }
        for result in results
    }
    title = (
        f"attention, forward and backward: {options.tokens:,} tokens per batch, "
        f"{options.num_heads} heads of {options.head_dim}, {options.dtype}"
    )
    show_table(console, title, rows)
    say(console, "ms: median; spread: from the lower to the upper quartile, of the median")
    say(console, "MiB: temporary arrays of the compiled program")
    say(console, "of peak: operations a second, of those of a large product of matrices")
    for failure in failures:
        say(console, f"{failure.length:,} {failure.implementation} failed: {failure.reason}")


def as_json(results: list[Result], failures: list[Failure], options: Attention) -> dict[str, Any]:
    """Returns all measurements as plain data, with a description of the machine."""
    return {
        "command": sys.argv,
        "environment": circumstances(),
        "options": dataclasses.asdict(options),
        "results": [result._asdict() | {"seconds": result.seconds._asdict()} for result in results],
        "failures": [failure._asdict() for failure in failures],
    }


if __name__ == "__main__":
    execute(Attention, sys.argv[1:])
