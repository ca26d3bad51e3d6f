"""Our training of one epoch of sentence pairs as a contender."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from our_turn import take_our_turn
from peers.turn import Run

from flax_transformer.data.batches.prefetching import training_pipeline
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.experiment import read_experiment
from flax_transformer.tasks.translation.translation_task import TranslationTask
from flax_transformer.training.optimizer.optimizer_config import make_optimizer, make_schedule
from flax_transformer.training.parallel import choose_devices
from flax_transformer.training.step import init_state, make_train_step


def make(experiment: str, tokenizer: str) -> Run:
    """Compiles our step for every batch shape; each run is the next epoch.

    Args:
        experiment: the JSON file of an experiment.
        tokenizer: file of its tokenizer.
    """
    read = read_experiment(Path(experiment))
    task = TranslationTask(read, Tokenizer.load(tokenizer))
    batches: Any = task.batches(read.data.train_split).filled(read.training.accumulate_steps)
    rng = jax.random.key(read.seed)
    update, state = _update(task, rng)

    def train(some):
        nonlocal state
        tokens = 0
        for batch in some:
            state, _ = update(state, batch, rng)
            tokens += int(np.count_nonzero(batch.target_segments))
        jax.block_until_ready(state)
        return tokens

    num_updates, padding_share = batches.batches_per_epoch, _padding_share(batches)
    first_epoch = (batches[step] for step in range(num_updates))
    train({(batch.source.shape, batch.target.shape): batch for batch in first_epoch}.values())
    epoch = 0

    def run() -> dict[str, Any]:
        nonlocal epoch
        pipeline = training_pipeline(batches, start_step=epoch * num_updates)
        epoch += 1
        return {
            "target_tokens": train(next(pipeline) for _ in range(num_updates)),
            "num_updates": num_updates,
            "padding_share": padding_share,
        }

    return run


def _padding_share(batches: Any) -> float:
    """The share of padding in an epoch's batches."""
    segments = [
        side
        for _, batch in batches.epoch()
        for side in (batch.source_segments, batch.target_segments)
    ]
    return 1 - sum(map(np.count_nonzero, segments)) / sum(side.size for side in segments)


def _update(task: TranslationTask, rng: Any) -> tuple[Any, Any]:
    experiment, training = task.experiment, task.experiment.training
    schedule = make_schedule(experiment.optimizer, experiment.model.d_model, training.num_steps)
    optimizer = make_optimizer(experiment.optimizer, schedule)
    devices = choose_devices(devices=jax.local_devices()[:1])
    step = make_train_step(
        task.loss, optimizer, max_skipped=1, accumulate_steps=training.accumulate_steps
    )
    return devices.compile(step), devices.place(init_state(task.init(rng), optimizer))


if __name__ == "__main__":
    take_our_turn(make)
