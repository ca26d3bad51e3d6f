r"""Times the input pipeline without a model: its start, batches per second, and padding.

    python experiments/benchmarks/input_pipeline.py
    python experiments/benchmarks/input_pipeline.py --experiment experiments/multi30k_en_de.py \
        --manual-dir DIR

Epochs of two ways to make the batches of a training are timed in turns: rows of one pair in batches
of similar lengths, and rows that hold several pairs each (--data.packing of the train command).
Batches are shuffled, padded and built ahead in threads. Tokens are target tokens without padding.

Before that the pipeline is started twice, each time in a new process. The time until the first
batch includes Python and its imports. The first start has no caches: it prepares the data, trains
the tokenizer and tokenizes. The second start uses the caches of the first.

The first line does not need a network. Without a folder, the second downloads its data set, and its
first start takes that much longer. Each takes half a minute.

On Multi30k with the settings of its experiment, the share of padding is 16.7 % with six batch
shapes, 8.9 % with sixteen (--num-buckets 16), and 5.5 % with packed rows of 64 tokens. Packed rows
waste less on padding and more on attention, which computes scores for all tokens of a row: 64
instead of the 17 of a sentence. If one side is longer than the other, as in the number words, a row
is full only on that side: 27.6 % of packed rows is padding, and 11.8 % of batches of similar
lengths.
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
PACKAGES = "numpy", "grain", "tokenizers"  # packages that affect the measurements


@dataclasses.dataclass(frozen=True)
class InputPipeline:
    """Time the input pipeline of an experiment without its model."""

    experiment: Path = Path(__file__).parents[1] / "number_words.py"
    """Experiment with the data to use."""
    manual_dir: str | None = None
    """Folder with the data set's files, instead of a download."""
    data_dir: str | None = None
    """Folder of prepared data, which may exist; by default a new folder, which is deleted."""
    num_buckets: int | None = None
    """Largest number of batch shapes; by default the experiment's number."""
    row_length: int | None = None
    """Tokens of a packed row on either side; by default the experiment's max_length."""
    num_repeats: int = 5
    """Timed epochs of each way."""
    json: bool = False
    """Print JSON."""

    def __post_init__(self) -> None:
        """Rejects options that cannot be measured."""
        check_options(self, "num_repeats")

    def data(self) -> ParallelTextConfig:
        """The experiment's data config with the given options."""
        config: Any = load_experiment(self.experiment).data
        names = ("manual_dir", "num_buckets")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        config = dataclasses.replace(config, **given)
        if self.row_length is not None and self.row_length < config.max_length:
            raise UserError(
                f"--row-length {self.row_length} cannot hold a sentence of --data.max-length "
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
    """Measurements of one way to make batches.

    Attributes:
        planning_seconds: to choose shapes or rows, once per training.
        report: counts of an epoch.
        target_tokens: of an epoch, without padding.
        seconds: to build an epoch.
    """

    planning_seconds: float
    report: EpochReport
    target_tokens: int
    seconds: Spread

    def batches_per_second(self) -> float:
        """Batches built per second."""
        return self.report.batches_per_epoch / self.seconds.median

    def target_tokens_per_second(self) -> float:
        """Target tokens built per second, without padding."""
        return self.target_tokens / self.seconds.median


class Result(NamedTuple):
    """All measurements.

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
        """Returns the measurements without the first epochs."""
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
    """Seconds from the start of a process until its first batch."""
    started = time.perf_counter()
    # A spawned process imports everything itself.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        process.submit(_take_first_batch, config).result()
        seconds = time.perf_counter() - started
    tell(f"{name} start: {seconds:.1f} s")
    return seconds


def _take_first_batch(config: ParallelTextConfig) -> None:
    Way(config, _prepare(config), row_length=None).take_batch()


def _prepare(config: ParallelTextConfig) -> TokenizedPairs:
    """The pairs of a training in a new workdir, still without a tokenizer."""
    return tokenize_pairs(config, make_tokenizer(config), config.train_split)


def show(result: Result, options: InputPipeline) -> None:
    """Prints the measurements as a table, below a description of the machine."""
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
    """Returns all measurements as plain data, with a description of the machine."""
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
