"""How long does an epoch of real sentences take, beside the Flax repository's example?

    python experiments/benchmarks/epoch.py --manual-dir DIR --flax-examples DIR

One epoch of Multi30k with the settings of experiments/multi30k_en_de.py, timed after compilation,
evaluation and checkpoints left out. What counts are real target tokens a second: padding counts for
nothing and costs time. Each trains as its users do:

- flax_transformer: batches by length, built ahead by the training pipeline, whose start counts.
- flax example: several pairs a row of 256 tokens, as examples/wmt of the Flax repository packs
  them, with its model, loss and train_step from a checkout. The same sizes, the same tokens and as
  many target tokens an update, padding counted. Rows that fill no batch are dropped, as they are
  there. Its packing needs TensorFlow; here it is stated in NumPy and done before the clock starts,
  which favours the example. Its feed-forward networks have dropout, which cannot be set apart.

This process keeps freed memory and runs one program at a time, as our commands do; this too favours
the example, of which JAX otherwise has many updates' memory at once.

Systems run in turns, an epoch each. Some four minutes an epoch of all on two CPU cores.
"""

import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from circumstances import circumstances, describe, tell
from contenders import FLAX_EXAMPLE, FLAX_EXAMPLE_LOSS_ONLY, OURS, check_flax_examples
from peers.size import Size
from rich.console import Console

from flax_transformer.cli import execute
from flax_transformer.console import say, show_table
from flax_transformer.data.batching import TrainingBatches
from flax_transformer.data.pipeline import prepare_training, training_pipeline
from flax_transformer.data.tokenized import TokenizedPairs
from flax_transformer.data.tokenizer import PAD, Tokenizer
from flax_transformer.errors import UserError
from flax_transformer.experiment import Experiment, load_experiment
from flax_transformer.tasks.translation_task import TranslationTask
from flax_transformer.training.optimizer import make_optimizer, make_schedule
from flax_transformer.training.parallel import Devices
from flax_transformer.training.step import init_state, make_train_step

EXPERIMENT = Path(__file__).parents[1] / "multi30k_en_de.py"
PACKED_LENGTH = 256  # the example's own


@dataclasses.dataclass(frozen=True)
class EpochTime:
    """Time an epoch of Multi30k, and beside it the same of the Flax repository's example."""

    manual_dir: str | None = None
    """Folder with the data set's files already in it, in place of a download."""
    flax_examples: Path | None = None
    """Beside it the translation example of the Flax repository: folder of a checkout."""
    num_epochs: int = 1
    """Timed epochs of each."""
    json: bool = False
    """Print JSON."""

    def __post_init__(self) -> None:
        """Refuses what cannot be measured."""
        if self.num_epochs < 1:
            raise UserError(f"num_epochs must be at least 1, not {self.num_epochs}")
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


class Epoch(NamedTuple):
    """How one system trains for an epoch.

    Attributes:
        run: trains for the epoch of a number and returns its real target tokens.
        num_updates: of every epoch.
        padding_share: of all places of an epoch's batches, on both sides.
    """

    run: Callable[[int], int]
    num_updates: int
    padding_share: float


class Result(NamedTuple):
    """What was measured of one system.

    Attributes:
        system: its name.
        seconds: of every timed epoch.
        target_tokens: real ones of the last epoch.
        target_tokens_per_second: of the epoch of median time.
        against_ours: our tokens a second over its: above 1, ours is faster.
        num_updates: of an epoch.
        padding_share: see `Epoch`.
    """

    system: str
    seconds: list[float]
    target_tokens: int
    target_tokens_per_second: float
    against_ours: float
    num_updates: int
    padding_share: float


def measure(experiment: Experiment, options: EpochTime) -> list[Result]:
    """Compiles every system and times its epochs in turns; ours comes first."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer, pairs = prepare_training(experiment.data, Path(folder) / "tokenizer.json")
    tell("compiling")
    epochs = {OURS: our_epoch(experiment, tokenizer, pairs)}
    if options.flax_examples is not None:
        for name, with_metrics in ((FLAX_EXAMPLE, True), (FLAX_EXAMPLE_LOSS_ONLY, False)):
            tell(f"compiling {name}")
            epochs[name] = flax_epoch(
                experiment, tokenizer, pairs, options.flax_examples, with_metrics
            )
    seconds: dict[str, list[float]] = {name: [] for name in epochs}
    tokens: dict[str, int] = {}
    for number in range(options.num_epochs):
        for name, epoch in epochs.items():
            started = time.perf_counter()
            tokens[name] = epoch.run(number)
            seconds[name].append(time.perf_counter() - started)
            tell(f"epoch {number + 1}/{options.num_epochs} of {name}: {seconds[name][-1]:.1f} s")
    rates = {name: tokens[name] / float(np.median(seconds[name])) for name in epochs}
    return [
        Result(
            name,
            seconds[name],
            tokens[name],
            rates[name],
            rates[OURS] / rates[name],
            epoch.num_updates,
            epoch.padding_share,
        )
        for name, epoch in epochs.items()
    ]


def our_epoch(experiment: Experiment, tokenizer: Tokenizer, pairs: TokenizedPairs) -> Epoch:
    """Compiles our step for every shape of batch."""
    data, parts = experiment.data, experiment.training.accumulate_steps
    tokens_per_batch, batch_size = data.limits(num_devices=1)
    batches = TrainingBatches(
        pairs, tokens_per_batch, data.num_buckets, parts, experiment.seed, batch_size
    )
    rng = jax.random.key(experiment.seed)
    update, state = _our_update(experiment, tokenizer, rng)

    def train(some):
        nonlocal state
        tokens = 0
        for batch in some:
            state, _ = update(state, batch, rng)
            tokens += int(np.count_nonzero(batch.target != PAD))
        jax.block_until_ready(state)
        return tokens

    num_updates = batches.batches_per_epoch
    first_epoch = (batches[step] for step in range(num_updates))
    train({(batch.source.shape, batch.target.shape): batch for batch in first_epoch}.values())

    def run(number):
        pipeline = training_pipeline(batches, start_step=number * num_updates)
        return train(next(pipeline) for _ in range(num_updates))

    return Epoch(run, num_updates, batches.report().padding_share)


def _our_update(experiment: Experiment, tokenizer: Tokenizer, rng: Any) -> tuple[Any, Any]:
    task, training = TranslationTask(experiment, tokenizer).objective, experiment.training
    schedule = make_schedule(experiment.optimizer, experiment.model.d_model, training.num_steps)
    optimizer = make_optimizer(experiment.optimizer, schedule)
    devices = Devices(jax.local_devices()[:1])
    step = make_train_step(
        task.loss, optimizer, max_skipped=1, accumulate_steps=training.accumulate_steps
    )
    return devices.compile(step), devices.replicate(init_state(task.init(rng), optimizer))


def flax_epoch(
    experiment: Experiment,
    tokenizer: Tokenizer,
    pairs: TokenizedPairs,
    directory: Path,
    with_metrics: bool,
) -> Epoch:
    """Packs the pairs and compiles the example's step, see `peers.flax_step.make_update`."""
    from peers.flax_packing import packed_batches
    from peers.flax_step import load, make_update

    model, num_rows = experiment.model, max(experiment.data.tokens_per_batch // PACKED_LENGTH, 1)
    sizes = model.num_encoder_layers, model.d_model, model.d_ff, model.num_heads
    update, state = make_update(
        load(directory),
        Size(*sizes, tokenizer.vocab_size, num_rows, PACKED_LENGTH),
        model.dtype,
        with_metrics=with_metrics,
        attention_dropout_rate=model.attention_dropout_rate,
    )
    order = np.random.default_rng(experiment.seed).permutation(pairs.num_pairs)
    batches = packed_batches(pairs, order, num_rows, PACKED_LENGTH)

    def train(some):
        nonlocal state
        for batch in some:
            state, _ = update(state, {name: values[None] for name, values in batch.items()})
        jax.block_until_ready(state)
        return sum(int(np.count_nonzero(batch["targets"])) for batch in some)

    # Under pmap the second update compiles once more, since its state lies as a result does.
    train([batches[0]] * 2)
    real = sum(np.count_nonzero(batch[side]) for batch in batches for side in ("inputs", "targets"))
    padding_share = 1 - real / (2 * len(batches) * num_rows * PACKED_LENGTH)
    return Epoch(lambda number: train(batches), len(batches), padding_share)


def show(results: list[Result]) -> None:
    """Prints the figures as a table, below what they were measured on."""
    console = Console()
    say(console, describe())
    rows = {
        result.system: {
            "seconds": f"{np.median(result.seconds):,.1f}",
            "updates": result.num_updates,
            "padding": f"{result.padding_share:.1%}",
            "real target tokens/s": f"{result.target_tokens_per_second:,.0f}",
            "ours is faster": f"{result.against_ours:.2f} times",
        }
        for result in results
    }
    show_table(console, "an epoch of Multi30k", rows)


def as_json(results: list[Result], options: EpochTime) -> dict[str, Any]:
    """Gives all figures as plain data, with what they were measured on."""
    folder = options.flax_examples
    return {
        "command": sys.argv,
        "environment": circumstances(),
        "options": dataclasses.asdict(options) | {"flax_examples": folder and str(folder)},
        "results": [result._asdict() for result in results],
    }


def main(argv: Sequence[str]) -> None:
    """Runs a command line; a user's mistake is one line on standard error and exit code 2."""
    execute(EpochTime, list(argv), defaults=lambda words: EpochTime())


if __name__ == "__main__":
    main(sys.argv[1:])
