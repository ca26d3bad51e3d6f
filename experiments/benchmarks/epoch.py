"""Times an epoch of real sentences, compared with the Flax repository's example.

    python experiments/benchmarks/epoch.py --manual-dir DIR --flax-examples DIR

One epoch of Multi30k with the settings of experiments/multi30k_en_de.py is timed after compilation,
without evaluation and checkpoints. The measure is real target tokens per second: padding costs time
but does not count. Each system trains as its users do:

- flax_transformer: batches by length, built ahead by the training pipeline. Its start counts.
- flax example: several pairs per row of 256 tokens, packed as in examples/wmt of the Flax
  repository, with its model, loss and train_step from a checkout. It has the same sizes, the same
  tokens and, including padding, as many target tokens per update. Rows that do not fill a batch are
  dropped, as in the example. Its packing needs TensorFlow. Here it is written in NumPy and not
  timed, which favors the example. Its feed-forward networks have dropout, which has no option.

Contenders take turns of one epoch, and every turn is a new process. Ours keeps freed memory and
runs one program at a time, like our commands. The example runs with JAX's defaults, which hold the
memory of many updates at once, and again with ours ("our settings"). A turn of all contenders takes
about seven minutes on two CPU cores.
"""

import dataclasses
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from circumstances import circumstances, describe, tell
from contenders import OURS, WITH_METRICS, check_flax_examples
from peers.flax_packing import packed_batches
from peers.size import Size
from rich.console import Console
from turns import HOW, Contender, in_both_settings, take_turns

from flax_transformer.cli import execute
from flax_transformer.console import say, show_table
from flax_transformer.data.tokens.tokenized import TokenizedPairs
from flax_transformer.data.tokens.tokenized_splits import make_tokenizer, tokenize_pairs
from flax_transformer.errors import check_options
from flax_transformer.experiment import Experiment, load_experiment, write_experiment

EXPERIMENT = Path(__file__).parents[1] / "multi30k_en_de.py"
PACKED_LENGTH = 256  # of the example


@dataclasses.dataclass(frozen=True)
class EpochTime:
    """Time an epoch of Multi30k, with our training and with the Flax repository's example."""

    manual_dir: str | None = None
    """Folder with the data set's files, instead of a download."""
    flax_examples: Path | None = None
    """Checkout of the Flax repository; also times its translation example."""
    num_epochs: int = 1
    """Timed epochs of each system, each in a new process."""
    json: bool = False
    """Print JSON."""

    def __post_init__(self) -> None:
        """Rejects options that cannot be measured."""
        check_options(self, "num_epochs")
        if self.flax_examples is not None:
            check_flax_examples(self.flax_examples)

    def run(self) -> None:
        """Measures and prints."""
        experiment = load_experiment(EXPERIMENT)
        data = dataclasses.replace(experiment.data, manual_dir=self.manual_dir)
        results = measure(dataclasses.replace(experiment, data=data), self)
        if self.json:
            print(json.dumps(as_json(results, self), indent=2))
        else:
            show(results)


class Result(NamedTuple):
    """Measurements of one system.

    Attributes:
        system: its name.
        seconds: of every timed epoch.
        target_tokens: real target tokens of the last epoch.
        target_tokens_per_second: of the epoch with the median time.
        against_ours: our tokens per second over its own; above 1 ours is faster.
        num_updates: of an epoch.
        padding_share: share of padding in an epoch's batches, on both sides.
        peak_bytes: see `turns.Taken`.
    """

    system: str
    seconds: list[float]
    target_tokens: int
    target_tokens_per_second: float
    against_ours: float
    num_updates: int
    padding_share: float
    peak_bytes: int


def measure(experiment: Experiment, options: EpochTime) -> list[Result]:
    """Prepares the data of every system and times their epochs in turns; ours comes first."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tell("preparing the data")
        contenders = {OURS: our_epoch(experiment, folder)}
        if options.flax_examples is not None:
            contenders |= in_both_settings(flax_epochs(experiment, folder, options.flax_examples))
        taken = take_turns(contenders, options.num_epochs, 1, tell, num_warmups=0)
    rates = {
        name: taken[name].facts["target_tokens"] / taken[name].spread().median for name in taken
    }
    return [
        Result(
            system=name,
            seconds=taken[name].seconds,
            target_tokens_per_second=rates[name],
            against_ours=rates[OURS] / rates[name],
            peak_bytes=taken[name].peak_bytes,
            **taken[name].facts,
        )
        for name in taken
    ]


def our_epoch(experiment: Experiment, folder: Path) -> Contender:
    """Writes the experiment and its tokenizer into a folder, for our processes."""
    absolute = experiment.with_absolute_paths()
    paths = {"experiment": folder / "experiment.json", "tokenizer": folder / "tokenizer.json"}
    write_experiment(paths["experiment"], absolute)
    tokenizer = make_tokenizer(absolute.data)
    tokenizer.save(paths["tokenizer"])
    return Contender("our_epoch", {name: str(path) for name, path in paths.items()})


def flax_epochs(experiment: Experiment, folder: Path, examples: Path) -> dict[str, Contender]:
    """Packs the pairs into a file in the folder, for the example's processes."""
    data: Any = experiment.data
    model: Any = experiment.model
    tokenizer = make_tokenizer(data)
    pairs = tokenize_pairs(data, tokenizer, data.train_split)
    num_rows = max(data.tokens_per_batch // PACKED_LENGTH, 1)
    save_packed(pairs, experiment.seed, num_rows, folder / "packed.npz")
    sizes = model.num_encoder_layers, model.d_model, model.d_ff, model.num_heads
    job = {
        "batches": str(folder / "packed.npz"),
        "directory": check_flax_examples(examples),
        "size": Size(*sizes, tokenizer.vocab_size, num_rows, PACKED_LENGTH)._asdict(),
        "dtype": model.dtype,
        "attention_dropout_rate": model.attention_dropout_rate,
    }
    return {
        name: Contender("peers.flax_epoch", job | {"with_metrics": with_metrics})
        for name, with_metrics in WITH_METRICS.items()
    }


def save_packed(pairs: TokenizedPairs, seed: int, num_rows: int, path: Path) -> None:
    """Writes an epoch's batches, packed like the example's; each array holds all updates."""
    order = np.random.default_rng(seed).permutation(pairs.num_pairs)
    batches = packed_batches(pairs, order, num_rows, PACKED_LENGTH)
    arrays: dict[str, Any] = {
        name: np.stack([batch[name] for batch in batches]) for name in batches[0]
    }
    np.savez(path, **arrays)


def show(results: list[Result]) -> None:
    """Prints the measurements as a table, below a description of the machine."""
    console = Console()
    say(console, describe())
    rows = {
        result.system: {
            "seconds": f"{np.median(result.seconds):,.1f}",
            "updates": result.num_updates,
            "padding": f"{result.padding_share:.1%}",
            "real target tokens/s": f"{result.target_tokens_per_second:,.0f}",
            "ours is faster": f"{result.against_ours:.2f} times",
            "peak MiB": f"{result.peak_bytes / 2**20:,.0f}",
        }
        for result in results
    }
    show_table(console, "an epoch of Multi30k", rows)
    say(console, HOW)


def as_json(results: list[Result], options: EpochTime) -> dict[str, Any]:
    """Returns all measurements as plain data, with a description of the machine."""
    folder = options.flax_examples
    return {
        "command": sys.argv,
        "how": HOW,
        "environment": circumstances(),
        "options": dataclasses.asdict(options) | {"flax_examples": folder and str(folder)},
        "results": [result._asdict() for result in results],
    }


if __name__ == "__main__":
    execute(EpochTime, sys.argv[1:])
