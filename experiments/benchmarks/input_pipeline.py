r"""Is the input pipeline ever the bottleneck? Its start, batches a second without a model, padding.

    python experiments/benchmarks/input_pipeline.py
    python experiments/benchmarks/input_pipeline.py --experiment experiments/multi30k_en_de.py \
        --manual-dir DIR

Timed in turns are epochs of the two ways to make the batches of a training, shuffled, padded and
built ahead in threads: rows of one pair in batches of similar lengths, and rows that hold several
pairs each (--data.packing of the train command). Tokens are those of targets, padding not counted.

Before that it is started twice, each time in a process of its own, timed with Python and what it
imports until the first batch is there. The first start finds nothing: it prepares the data, trains
the tokenizer and tokenizes. The second finds what the first has kept.

The first line needs no network; the data set of the second is downloaded where no folder is given,
and the first start takes that much longer. Half a minute each.

On Multi30k, with the settings of its experiment, 16.7 % of six batch shapes is padding, 8.9 % of
sixteen (--num-buckets 16), and 5.5 % of packed rows of 64 tokens. These waste less padding and more
attention, where every token meets those of all pairs of its row: 64 in place of the 17 of a
sentence. Where one side is longer than the other, as in the number words, a row is full on that
side only: 27.6 % of it is padding, of the batches of similar lengths 11.8 %.
"""

import dataclasses
import json
import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from circumstances import circumstances, describe, tell
from epoch_report import EpochReport, report
from rich.console import Console
from timing import Spread, spread

from flax_transformer.cli import execute
from flax_transformer.console import say, show_table
from flax_transformer.data.batches.length_batches import LengthBatches
from flax_transformer.data.batches.packed_batches import PackedBatches
from flax_transformer.data.batches.prefetching import training_pipeline
from flax_transformer.data.parallel_text_config import ParallelTextConfig
from flax_transformer.data.tokens.tokenized import TokenizedPairs
from flax_transformer.data.tokens.tokenized_splits import make_tokenizer, tokenize_pairs
from flax_transformer.data.tokens.tokenizer import PAD
from flax_transformer.errors import UserError, check_options
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
    """Where prepared data is kept and may be already; by default a new folder, which is deleted."""
    num_buckets: int | None = None
    """Different batch shapes at most; the experiment's own number if not given."""
    row_length: int | None = None
    """Tokens of a packed row on either side; the experiment's max_length if not given."""
    num_repeats: int = 5
    """Timed epochs of either way."""
    json: bool = False
    """Print JSON."""

    def __post_init__(self) -> None:
        """Refuses what cannot be measured."""
        check_options(self, "num_repeats")

    def data(self) -> ParallelTextConfig:
        """The experiment's data, with these options in place of its own."""
        config: Any = load_experiment(self.experiment).data
        names = ("manual_dir", "num_buckets")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        config = dataclasses.replace(config, **given)
        if self.row_length is not None and self.row_length < config.max_length:
            raise UserError(
                f"--row-length {self.row_length} cannot hold a sentence of data.max_length "
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


class Epochs(NamedTuple):
    """What one way to make batches gave.

    Attributes:
        planning_seconds: to choose shapes or rows, once a training.
        report: what an epoch holds.
        target_tokens: of an epoch, padding not counted.
        seconds: to build an epoch.
    """

    planning_seconds: float
    report: EpochReport
    target_tokens: int
    seconds: Spread

    def batches_per_second(self) -> float:
        """How fast batches are built."""
        return self.report.batches_per_epoch / self.seconds.median

    def target_tokens_per_second(self) -> float:
        """How fast target tokens come, padding not counted."""
        return self.target_tokens / self.seconds.median


class Result(NamedTuple):
    """What was measured.

    Attributes:
        start_seconds: of the first and the second start, from a new process to the first batch.
        row_length: tokens of a packed row on either side.
        by_length: batches of similar lengths.
        packed: batches of packed rows.
    """

    start_seconds: tuple[float, float]
    row_length: int
    by_length: Epochs
    packed: Epochs


class Way:
    """One way to make batches, and the epochs of it so far."""

    def __init__(self, config: ParallelTextConfig, pairs: TokenizedPairs, row_length: int | None):
        tokens_per_batch, batch_size = config.limits(num_devices=1)
        started = time.perf_counter()
        if row_length is None:
            self._batches = LengthBatches.for_training(
                pairs,
                config.num_buckets,
                tokens_per_batch=tokens_per_batch,
                batch_size=batch_size,
            )
        else:
            self._batches = PackedBatches(
                pairs, row_length, tokens_per_batch=config.tokens_per_batch
            )
        self._planning_seconds = time.perf_counter() - started
        self._pipeline = training_pipeline(self._batches)
        self._seconds: list[float] = []
        self._tokens = 0

    def take_batch(self) -> Any:
        """Builds the next batch."""
        return next(self._pipeline)

    def take_epoch(self) -> None:
        """Builds and times the next epoch."""
        started = time.perf_counter()
        epoch = [self.take_batch().target for _ in range(self._batches.batches_per_epoch)]
        self._seconds.append(time.perf_counter() - started)
        self._tokens = sum(int(np.count_nonzero(target != PAD)) for target in epoch)

    def measured(self) -> Epochs:
        """Gives the figures; the first epochs are not counted."""
        seconds = spread(self._seconds[NUM_WARMUP_EPOCHS:])
        return Epochs(self._planning_seconds, report(self._batches), self._tokens, seconds)


def measure(options: InputPipeline) -> Result:
    """Starts the pipeline, prepares the data and times epochs of its batches."""
    with tempfile.TemporaryDirectory() as folder:
        config = dataclasses.replace(options.data(), data_dir=options.data_dir or folder)
        start_seconds = _start(config, "first"), _start(config, "second")
        pairs = _prepare(config)
    row_length = options.row_length or config.max_length
    by_length, packed = Way(config, pairs, None), Way(config, pairs, row_length)
    for number in range(NUM_WARMUP_EPOCHS + options.num_repeats):
        tell(f"epoch {number + 1}/{NUM_WARMUP_EPOCHS + options.num_repeats}")
        by_length.take_epoch()
        packed.take_epoch()
    return Result(start_seconds, row_length, by_length.measured(), packed.measured())


def _start(config: ParallelTextConfig, name: str) -> float:
    """Seconds from the start of a process until it has the first batch."""
    started = time.perf_counter()
    # Spawned, it imports everything anew.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        process.submit(_take_first_batch, config).result()
        seconds = time.perf_counter() - started
    tell(f"{name} start: {seconds:.1f} s")
    return seconds


def _take_first_batch(config: ParallelTextConfig) -> None:
    Way(config, _prepare(config), row_length=None).take_batch()


def _prepare(config: ParallelTextConfig) -> TokenizedPairs:
    """The pairs of a training in a new workdir, where no tokenizer is yet."""
    return tokenize_pairs(config, make_tokenizer(config), config.train_split)


def show(result: Result, options: InputPipeline) -> None:
    """Prints the figures as a table, below what they were measured on."""
    console = Console()
    say(console, describe(PACKAGES))
    by_length, packed = result.by_length, result.packed
    first, second = result.start_seconds
    starts = f"first start {first:.1f} s, second {second:.1f} s"
    say(console, f"{by_length.report.num_pairs:,} pairs; {starts}, to the first batch")
    shapes, chosen = f"{by_length.planning_seconds:.2f} s", f"{packed.planning_seconds:.2f} s"
    say(console, f"once a training: shapes chosen in {shapes}, packed rows in {chosen}")
    rows = {
        "batches by length": _row(by_length),
        f"packed, {result.row_length} tokens a row": _row(packed),
    }
    show_table(console, f"an epoch of {options.experiment.name}", rows)
    say(console, "target tokens/s: padding not counted; spread: between quartiles, of the median")


def _row(epochs: Epochs) -> dict[str, str]:
    return {
        "shapes": f"{epochs.report.num_shapes}",
        "padding": f"{epochs.report.padding_share:.1%}",
        "batches/s": f"{epochs.batches_per_second():,.0f}",
        "target tokens/s": f"{epochs.target_tokens_per_second():,.0f}",
        "spread": f"{epochs.seconds.relative():.1%}",
    }


def as_json(result: Result, options: InputPipeline) -> dict[str, Any]:
    """Gives all figures as plain data, with what they were measured on."""
    return {
        "command": sys.argv,
        "environment": circumstances(PACKAGES),
        "options": dataclasses.asdict(options) | {"experiment": str(options.experiment)},
        "start_seconds": dict(zip(("first", "second"), result.start_seconds, strict=True)),
        "row_length": result.row_length,
        "by_length": _figures(result.by_length),
        "packed": _figures(result.packed),
    }


def _figures(epochs: Epochs) -> dict[str, Any]:
    return epochs._asdict() | {
        "report": epochs.report._asdict(),
        "seconds": epochs.seconds._asdict(),
        "batches_per_second": epochs.batches_per_second(),
        "target_tokens_per_second": epochs.target_tokens_per_second(),
    }


if __name__ == "__main__":
    execute(InputPipeline, sys.argv[1:])
