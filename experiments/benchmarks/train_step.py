"""Times a training step and the steps of alternative systems, interleaved, on this machine.

    python experiments/benchmarks/train_step.py --size W1 --torch --flax-examples DIR

All train a pre-norm encoder-decoder of the same size on random sentences without padding, with one
shared embedding matrix, dropout of 0.1 in embeddings (not PyTorch), residuals, attention weights
and feed-forward networks, and label smoothing of 0.1. Each runs as its users run it:

- flax_transformer: the step of `flax-transformer train`, jitted, its state donated, Adam.
- torch: PyTorch's nn.Transformer in eager mode, AdamW.
- flax example: examples/wmt of the Flax repository, from a checkout in DIR; its own model, loss and
  train_step under pmap on one device, its state donated, AdamW without decay. It also computes the
  accuracy and the loss for its log; "loss only" leaves that out.

Contenders take turns, and every turn is a new process. Ours keeps freed memory and runs one program
at a time, like our commands (`flax_transformer/runtime/process.py`). The others run with their own
defaults of memory and threads, and again with ours, set by environment variables ("our settings"),
which shows the effect of these settings.

Peak memory is that of the whole process. A large matrix product takes turns too. The share of its
speed that our step reaches is the model FLOP utilization on an accelerator, against a measured
peak. Takes about two minutes for each contender and setting on two CPU cores.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from circumstances import circumstances, describe, tell
from contenders import OURS, TORCH, our_step, peers
from peers.size import SIZES
from rich.console import Console
from timing import Spread
from turns import HOW, Contender, in_both_settings, take_turns

from flax_transformer.cli import execute
from flax_transformer.console import say, show_table
from flax_transformer.errors import check_options, unknown
from flax_transformer.modules.layer_options import ComputeType

PEAK = "matrix product"


@dataclasses.dataclass(frozen=True)
class TrainStep:
    """Time a training step, and those of other systems."""

    size: str = "W1"
    """W1: 4+4 layers, d_model 128, d_ff 256, 4 heads, vocabulary 10,000, 128 pairs of 32 tokens;
    W2: 3+3, 256, 1024, 8, 8,000, 64 of 32; big: 6+6, 1024, 4096, 16, 37,000, 392 of 64;
    toy: 1+1, 16, 32, 2, 64, 4 of 8."""
    torch: bool = False
    """Also time PyTorch's nn.Transformer."""
    flax_examples: Path | None = None
    """Checkout of the Flax repository; also times its translation example."""
    dtype: ComputeType = "float32"
    """Type of the computation."""
    peak_size: int = 4096
    """Rows and columns of the matrices of the product that measures the device's speed."""
    num_turns: int = 3
    """Turns of each system, each in a new process."""
    num_repeats: int = 7
    """Timed steps of a turn."""
    json: bool = False
    """Print JSON."""

    def __post_init__(self) -> None:
        """Rejects options that cannot be measured."""
        if self.size not in SIZES:
            raise unknown("--size", self.size, SIZES)
        check_options(self, "peak_size", "num_turns", "num_repeats")

    def run(self) -> None:
        """Measures and prints."""
        results, product = measure(self)
        if self.json:
            print(json.dumps(as_json(results, product, self), indent=2))
        else:
            show(results, product, self)


class Result(NamedTuple):
    """Measurements of one system.

    Attributes:
        system: its name.
        seconds: of a step.
        target_tokens_per_second: at the median.
        against_ours: its median over that of our step; above 1 ours is faster.
        peak_bytes: the largest resident set of its processes; see `turns.Taken`.
        flops: floating-point operations of our step; None for others, as their counts would not be
            comparable.
        share_of_peak: our operations per second over those of a large matrix product; on an
            accelerator, the model FLOP utilization.
    """

    system: str
    seconds: Spread
    target_tokens_per_second: float
    against_ours: float
    peak_bytes: int
    flops: float | None
    share_of_peak: float | None


def measure(options: TrainStep) -> tuple[list[Result], dict[str, Any]]:
    """Times every system in turns.

    Args:
        options: of the measurement.

    Returns:
        The results, ours first, and the measurements of the matrix product.
    """
    size, dtype = SIZES[options.size], options.dtype
    others = peers(size, dtype, torch=options.torch, flax_examples=options.flax_examples)
    contenders = {OURS: our_step(size, dtype), **in_both_settings(others)}
    product = Contender("product", {"size": options.peak_size, "dtype": dtype})
    taken = take_turns({**contenders, PEAK: product}, options.num_turns, options.num_repeats, tell)
    ours, product = taken[OURS].spread(), taken[PEAK]
    peak = product.facts["flops"] / product.spread().median
    results = []
    for name in contenders:
        seconds, flops = taken[name].spread(), taken[name].facts.get("flops")
        results.append(
            Result(
                name,
                seconds,
                size.num_pairs * size.length / seconds.median,
                seconds.median / ours.median,
                taken[name].peak_bytes,
                flops,
                flops and flops / seconds.median / peak,
            )
        )
    described = {"size": options.peak_size, "flops_per_second": peak}
    return results, described | {"seconds": product.spread()._asdict()}


def show(results: list[Result], product: dict[str, Any], options: TrainStep) -> None:
    """Prints the measurements as a table, below a description of the machine."""
    console = Console()
    say(console, describe(compared(options)))
    speed = f"{product['flops_per_second'] / 1e9:,.1f} GFLOP/s"
    say(console, f"product of two {options.dtype} matrices of size {product['size']:,}: {speed}")
    ours = results[0]
    assert ours.flops is not None
    assert ours.share_of_peak is not None
    say(
        console,
        f"our step: {ours.flops / 1e9:.4g} GFLOP, at {ours.share_of_peak:.1%} of this speed "
        "(on an accelerator: model FLOP utilization)",
    )
    rows = {
        result.system: {
            "ms": f"{result.seconds.median * 1e3:,.1f}",
            "quartiles": f"{result.seconds.lower * 1e3:,.1f}–{result.seconds.upper * 1e3:,.1f}",
            "target tokens/s": f"{result.target_tokens_per_second:,.0f}",
            "time against ours": f"{result.against_ours:.2f}",
            "peak MiB": f"{result.peak_bytes / 2**20:,.0f}",
        }
        for result in results
    }
    sizes = ", ".join(f"{name} {n:,}" for name, n in SIZES[options.size]._asdict().items())
    title = f"a training step of {options.size}, {options.dtype}: {sizes}"
    show_table(console, title, rows)
    say(console, HOW)


def compared(options: TrainStep) -> list[str]:
    """The packages of the other systems."""
    return [TORCH] if options.torch else []


def as_json(results: list[Result], product: dict[str, Any], options: TrainStep) -> dict[str, Any]:
    """Returns all measurements as plain data, with a description of the machine."""
    folder = options.flax_examples
    return {
        "command": sys.argv,
        "how": HOW,
        "environment": circumstances(compared(options)),
        "options": dataclasses.asdict(options) | {"flax_examples": folder and str(folder)},
        "size": SIZES[options.size]._asdict(),
        "matrix_product": product,
        "results": [result._asdict() | {"seconds": result.seconds._asdict()} for result in results],
    }


if __name__ == "__main__":
    execute(TrainStep, sys.argv[1:])
