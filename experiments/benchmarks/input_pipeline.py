r"""Is the input pipeline ever the bottleneck? Its batches a second, without a model, and padding.

    python experiments/benchmarks/input_pipeline.py
    python experiments/benchmarks/input_pipeline.py --experiment experiments/multi30k_en_de.py \
        --manual-dir DIR

Timed are epochs of the batches that training would take, shuffled, padded and built ahead in
threads. Tokens are those of targets, padding not counted. The first line needs no network; the data
set of the second is downloaded where no folder is given. Some seconds each, after the preparation.

Beside the padding of batches by length stands that of rows which hold several pairs each, and how
fast pairs are packed into them. On Multi30k, with the settings of its experiment, 16.7 % of six
batch shapes is padding, 8.9 % of sixteen (--num-buckets 16), and 5.1 % of packed rows of 64 tokens.
Training takes batches by length. Rows of 64 tokens waste less padding and more attention, where
every token meets those of all pairs of its row: 64 in place of the 17 of a sentence.
"""

import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from circumstances import circumstances, describe, tell
from rich.console import Console
from timing import Spread, spread

from flax_transformer.cli import execute
from flax_transformer.console import say, show_table
from flax_transformer.data.batching import DataReport, TrainingBatches
from flax_transformer.data.datasets import DataConfig
from flax_transformer.data.packing import assign_rows, pack
from flax_transformer.data.pipeline import prepare_training, training_pipeline
from flax_transformer.data.tokenized import TokenizedPairs
from flax_transformer.data.tokenizer import PAD
from flax_transformer.errors import UserError
from flax_transformer.experiment import load_experiment

NUM_WARMUP_EPOCHS = 1
PACKAGES = "numpy", "grain", "tokenizers"  # that decide the figures


@dataclasses.dataclass(frozen=True)
class InputPipeline:
    """Time the input pipeline of an experiment alone."""

    experiment: Path = Path(__file__).parents[1] / "number_words.py"
    """Experiment whose data it is."""
    manual_dir: str | None = None
    """Folder with the data set's files already in it, in place of a download."""
    data_dir: str | None = None
    """Where prepared data is kept; by default TFDS_DATA_DIR or ~/tensorflow_datasets."""
    num_buckets: int | None = None
    """Different batch shapes at most; the experiment's own number if not given."""
    row_length: int | None = None
    """Tokens of a packed row on either side; the experiment's max_length if not given."""
    window: int = 512
    """Pairs that may share packed rows."""
    num_repeats: int = 5
    """Timed epochs."""
    json: bool = False
    """Print JSON."""

    def __post_init__(self) -> None:
        """Refuses what cannot be measured."""
        for name in ("window", "num_repeats"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, not {getattr(self, name)}")

    def data(self) -> DataConfig:
        """The experiment's data, with these options in place of its own."""
        config = load_experiment(self.experiment).data
        names = ("manual_dir", "data_dir", "num_buckets")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        config = dataclasses.replace(config, **given)
        if self.row_length is not None and self.row_length < config.max_length:
            raise UserError(
                f"row_length {self.row_length} cannot hold a sentence of max_length "
                f"{config.max_length}: raise it"
            )
        return config

    def run(self) -> None:
        """Measures and prints."""
        result = measure(self)
        if self.json:
            print(json.dumps(as_json(result, self), indent=2))
        else:
            show(result, self)


class Packed(NamedTuple):
    """What packing would give.

    Attributes:
        row_length: tokens of a row on either side.
        rows: number of rows.
        padding_share: padding among the tokens of both sides.
        pairs_per_second: how fast pairs are packed, in one thread.
    """

    row_length: int
    rows: int
    padding_share: float
    pairs_per_second: float


class Result(NamedTuple):
    """What was measured.

    Attributes:
        preparation_seconds: from the data set's name to its tokens, which may have been kept.
        report: what an epoch of batches by length holds.
        target_tokens: of an epoch, padding not counted.
        epoch_seconds: to build an epoch.
        packed: what packing would give in its place.
    """

    preparation_seconds: float
    report: DataReport
    target_tokens: int
    epoch_seconds: Spread
    packed: Packed


def measure(options: InputPipeline) -> Result:
    """Prepares the data and times epochs of its batches."""
    config = options.data()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        _, pairs = prepare_training(config, Path(folder, "tokenizer.json"))
    prepared = time.perf_counter() - started
    tokens_per_batch, batch_size = config.limits(num_devices=1)
    batches = TrainingBatches(pairs, tokens_per_batch, config.num_buckets, batch_size=batch_size)
    pipeline = training_pipeline(batches)
    seconds, tokens = [], 0
    for number in range(NUM_WARMUP_EPOCHS + options.num_repeats):
        tell(f"epoch {number + 1}/{NUM_WARMUP_EPOCHS + options.num_repeats}")
        started = time.perf_counter()
        epoch = [next(pipeline).target for _ in range(batches.batches_per_epoch)]
        seconds.append(time.perf_counter() - started)
        tokens = sum(int(np.count_nonzero(target != PAD)) for target in epoch)
    packed = measure_packing(pairs, options.row_length or config.max_length, options.window)
    return Result(prepared, batches.report(), tokens, spread(seconds[NUM_WARMUP_EPOCHS:]), packed)


def measure_packing(pairs: TokenizedPairs, row_length: int, window: int) -> Packed:
    """Packs all pairs once."""
    started = time.perf_counter()
    rows = assign_rows(pairs.source.lengths, pairs.target.lengths, row_length, window)
    packed = pack(pairs, rows, row_length)
    seconds = time.perf_counter() - started
    share = packed.padding_share()
    return Packed(row_length, len(packed.source), share, pairs.num_pairs / seconds)


def show(result: Result, options: InputPipeline) -> None:
    """Prints the figures as a table, below what they were measured on."""
    console = Console()
    say(console, describe(PACKAGES))
    report, packed = result.report, result.packed
    say(console, f"{report.num_pairs:,} pairs prepared in {result.preparation_seconds:.1f} s")
    seconds = result.epoch_seconds
    by_length = {
        "shapes": f"{report.num_shapes}",
        "padding": f"{report.padding_share:.1%}",
        "batches/s": f"{report.batches_per_epoch / seconds.median:,.0f}",
        "target tokens/s": f"{result.target_tokens / seconds.median:,.0f}",
        "spread": f"{seconds.relative():.1%}",
    }
    tokens_per_pair = result.target_tokens / report.num_pairs
    packing = {
        "shapes": "1",
        "padding": f"{packed.padding_share:.1%}",
        "batches/s": "",
        "target tokens/s": f"{packed.pairs_per_second * tokens_per_pair:,.0f}",
        "spread": "",
    }
    title = f"an epoch of {options.experiment.name}"
    rows = {"batches by length": by_length, f"packed, {packed.row_length} tokens a row": packing}
    show_table(console, title, rows)
    say(console, "target tokens/s: padding not counted; spread: between quartiles, of the median")


def as_json(result: Result, options: InputPipeline) -> dict[str, Any]:
    """Gives all figures as plain data, with what they were measured on."""
    median = result.epoch_seconds.median
    return {
        "command": sys.argv,
        "environment": circumstances(PACKAGES),
        "options": dataclasses.asdict(options) | {"experiment": str(options.experiment)},
        "preparation_seconds": result.preparation_seconds,
        "report": result.report._asdict(),
        "epoch_seconds": result.epoch_seconds._asdict(),
        "batches_per_second": result.report.batches_per_epoch / median,
        "target_tokens_per_second": result.target_tokens / median,
        "packed": result.packed._asdict(),
    }


def main(argv: Sequence[str]) -> None:
    """Runs a command line; a user's mistake is one line on standard error and exit code 2."""
    execute(InputPipeline, list(argv), defaults=lambda words: InputPipeline())


if __name__ == "__main__":
    main(sys.argv[1:])
