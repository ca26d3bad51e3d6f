"""Tests whether powers of two are faster: times one training step for sizes around them.

    python experiments/benchmarks/powers_of_two.py --out powers_of_two.png

Each group changes only one size of the model: d_model, d_ff, the vocabulary, or the width of a
head. A larger model has more work, so the times per floating-point operation are compared. All
sizes run in turns, so that a busy machine affects them equally. Takes about three minutes on two
CPU cores. Use more pairs on an accelerator, such as --batch 256, or its steps are too short.

A large matrix product runs among them; the share of its speed that a step reaches is reported.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from circumstances import circumstances, describe, device_name, tell
from matplotlib.figure import Figure
from picture import Dot, plot_dots
from rich.console import Console
from timing import Spread, time_in_turns
from work import Work, matrix_product, training_step

from flax_transformer.cli import execute
from flax_transformer.console import say, show_table
from flax_transformer.data.tokens.tokenizer import EOS
from flax_transformer.errors import UserError, check_number, check_options, option
from flax_transformer.models.encoder_decoder import EncoderDecoderConfig
from flax_transformer.modules.layer_options import ComputeType
from flax_transformer.visualization.pictures import check_picture_path, save_picture

PEAK = "matrix product"


@dataclasses.dataclass(frozen=True)
class PowersOfTwo:
    """Time one training step for sizes around powers of two."""

    d_model: tuple[int, ...] = (500, 512, 520)
    """Widths to compare. Every other group uses the roundest of them, which is divisible by the
    highest power of two; the same holds for the sizes below."""
    d_ff: tuple[int, ...] = (2000, 2048, 2080)
    """Widths of the feed-forward networks' hidden layers to compare."""
    vocab_size: tuple[int, ...] = (9_999, 10_000, 10_240)
    """Vocabularies to compare, in tokens."""
    head_dim: tuple[int, ...] = (60, 64, 68)
    """Widths of a head's queries, keys and values to compare."""
    num_heads: int = 8
    """Attention heads in each layer."""
    num_layers: int = 1
    """Layers of the encoder, and of the decoder."""
    batch: int = 16
    """Sentence pairs of a step."""
    length: int = 64
    """Tokens of each sentence."""
    dtype: ComputeType = "float32"
    """Type of the computation."""
    peak_size: int = 4096
    """Rows and columns of the matrices of the product that measures the device's speed."""
    num_repeats: int = 10
    """Timed steps of each size."""
    out: Path | None = None
    """Picture to draw, such as powers_of_two.png."""
    json: bool = False
    """Print JSON."""

    def __post_init__(self) -> None:
        """Rejects options that cannot be measured."""
        check_options(
            self, "num_heads", "num_layers", "batch", "length", "peak_size", "num_repeats"
        )
        for name, sizes in self.groups().items():
            for size in sizes:
                check_number(option(name), size, EOS + 1 if name == "vocab_size" else 1)
            if len(set(sizes)) < max(len(sizes), 2):
                raise UserError(
                    f"{option(name)} {sizes} is too few: give two or more sizes, each once"
                )
        if self.out is not None:
            check_picture_path(self.out)

    def groups(self) -> dict[str, tuple[int, ...]]:
        """The sizes to compare, by group."""
        names = ("d_model", "d_ff", "vocab_size", "head_dim")
        return {name: getattr(self, name) for name in names}

    def step(self, sizes: dict[str, int]) -> Work:
        """Compiles the training step of a model of these sizes."""
        config = EncoderDecoderConfig(
            num_encoder_layers=self.num_layers,
            num_decoder_layers=self.num_layers,
            d_model=sizes["d_model"],
            d_ff=sizes["d_ff"],
            num_heads=self.num_heads,
            key_dim=sizes["head_dim"],
            value_dim=sizes["head_dim"],
            dtype=self.dtype,
        )
        return training_step(config, sizes["vocab_size"], self.batch, self.length)

    def run(self) -> None:
        """Measures, draws and prints."""
        results, product = measure(self)
        if self.out is not None:
            save_picture(draw(results, product, self), self.out)
            tell(f"drawn in {self.out}")
        if self.json:
            print(json.dumps(as_json(results, product, self), indent=2))
        else:
            show(results, product, self)


class Result(NamedTuple):
    """Measurements of one size.

    Attributes:
        group: what the size is of.
        size: the size.
        power_of_two: the highest power of two that divides it.
        flops: floating-point operations of a step.
        seconds: of a step.
        seconds_per_flop: the median time per operation.
        against_roundest: the time per operation over that of the roundest size of the group.
        share_of_peak: of the speed of a large matrix product.
    """

    group: str
    size: int
    power_of_two: int
    flops: float
    seconds: Spread
    seconds_per_flop: float
    against_roundest: float
    share_of_peak: float


def roundest(sizes: tuple[int, ...]) -> int:
    """The size that 2 divides most often: 512 of 500, 512 and 520."""
    return max(sizes, key=power_of_two)


def power_of_two(size: int) -> int:
    """The highest power of two that divides a size: 8 for 520."""
    return size & -size


def measure(options: PowersOfTwo) -> tuple[list[Result], dict[str, Any]]:
    """Compiles and times all sizes.

    Args:
        options: of the measurement.

    Returns:
        The results, and the measurements of the matrix product.
    """
    groups = options.groups()
    usual = {group: roundest(sizes) for group, sizes in groups.items()}
    models = {(group, size): usual | {group: size} for group in groups for size in groups[group]}
    works = {PEAK: matrix_product(options.peak_size, options.dtype)}
    # The model of the roundest sizes is in every group, but is measured once.
    for sizes in models.values():
        if str(sizes) not in works:
            tell(f"compiling {', '.join(f'{name} {size:,}' for name, size in sizes.items())}")
            works[str(sizes)] = options.step(sizes)
    runs = {name: work.run for name, work in works.items()}
    times = time_in_turns(runs, options.num_repeats, tell)
    per_flop = {name: times[name].median / work.flops for name, work in works.items()}
    results = [
        Result(
            group,
            size,
            power_of_two(size),
            works[name].flops,
            times[name],
            per_flop[name],
            against_roundest=per_flop[name] / per_flop[str(usual)],
            share_of_peak=per_flop[PEAK] / per_flop[name],
        )
        for (group, size), name in ((key, str(sizes)) for key, sizes in models.items())
    ]
    product = {"size": options.peak_size, "flops_per_second": 1 / per_flop[PEAK]}
    return results, product | {"seconds": times[PEAK]._asdict()}


def show(results: list[Result], product: dict[str, Any], options: PowersOfTwo) -> None:
    """Prints the measurements as a table, below a description of the machine."""
    console = Console()
    say(console, describe())
    speed = f"{product['flops_per_second'] / 1e9:,.1f} GFLOP/s"
    say(console, f"product of two {options.dtype} matrices of size {product['size']:,}: {speed}")
    rows = {
        f"{result.group} {result.size:,}": {
            "GFLOP": f"{result.flops / 1e9:.4g}",
            "ms": f"{result.seconds.median * 1e3:.4g}",
            "spread": f"{result.seconds.relative():.1%}",
            "ps a FLOP": f"{result.seconds_per_flop * 1e12:.4g}",
            "against": f"{result.against_roundest - 1:+.1%}",
            "of peak": f"{result.share_of_peak:.1%}",
        }
        for result in results
    }
    title = (
        f"a training step of {options.batch} pairs of {options.length} tokens, {options.dtype}, "
        f"{options.num_layers}+{options.num_layers} layers, {options.num_heads} heads"
    )
    show_table(console, title, rows)
    say(console, "ms: median; spread: from the lower to the upper quartile, of the median")
    say(console, "against: time per operation, against the roundest size of the same name")
    say(console, "of peak: operations a second, of those of the product of matrices")


def draw(results: list[Result], product: dict[str, Any], options: PowersOfTwo) -> Figure:
    """Draws the time per operation of every size."""
    dots = [
        Dot(
            result.group,
            f"{result.size:,}",
            *(seconds / result.flops for seconds in result.seconds),
            is_marked=result.size == roundest(options.groups()[result.group]),
        )
        for result in results
    ]
    return plot_dots(
        dots,
        title=f"Time per floating-point operation of a training step\n{device_name()}, "
        f"{options.dtype}, {options.batch} pairs of {options.length} tokens; median and quartiles "
        f"of {options.num_repeats}; orange: the size that the highest power of two divides",
        unit="s",
        line=1 / product["flops_per_second"],
        line_label=f"matrix product, {product['size']:,}",
    )


def as_json(results: list[Result], product: dict[str, Any], options: PowersOfTwo) -> dict[str, Any]:
    """Returns all measurements as plain data, with a description of the machine."""
    return {
        "command": sys.argv,
        "environment": circumstances(),
        "options": dataclasses.asdict(options) | {"out": options.out and str(options.out)},
        "matrix_product": product,
        "results": [result._asdict() | {"seconds": result.seconds._asdict()} for result in results],
    }


if __name__ == "__main__":
    execute(PowersOfTwo, sys.argv[1:])
