"""Our training of an epoch of sentence pairs as a contender."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from epoch_report import report
from our_turn import take_our_turn
from peers.turn import Run

from flax_transformer.data.batches.length_batches import LengthBatches
from flax_transformer.data.batches.prefetching import training_pipeline
from flax_transformer.data.tokens.tokenized_splits import tokenize_pairs
from flax_transformer.data.tokens.tokenizer import PAD, Tokenizer
from flax_transformer.experiment import Experiment, read_experiment
from flax_transformer.tasks.translation.translation_task import TranslationTask
from flax_transformer.training.optimizer.optimizer_config import make_optimizer, make_schedule
from flax_transformer.training.parallel import Devices
from flax_transformer.training.step import init_state, make_train_step


def make(experiment: str, tokenizer: str) -> Run:
    """Compiles our step for every shape of batch; each run is the next epoch.

    Args:
        experiment: the JSON file of an experiment.
        tokenizer: file of its tokenizer.
    """
    read = read_experiment(Path(experiment))
    subwords = Tokenizer.load(tokenizer)
    pairs = tokenize_pairs(read.data, subwords, read.data.train_split)
    data, parts = read.data, read.training.accumulate_steps
    tokens_per_batch, batch_size = data.limits(num_devices=1)
    batches = LengthBatches(pairs, tokens_per_batch, data.num_buckets, parts, read.seed, batch_size)
    rng = jax.random.key(read.seed)
    update, state = _update(read, subwords, rng)

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
    epoch = 0

    def run() -> dict[str, Any]:
        nonlocal epoch
        pipeline = training_pipeline(batches, start_step=epoch * num_updates)
        epoch += 1
        return {
            "target_tokens": train(next(pipeline) for _ in range(num_updates)),
            "num_updates": num_updates,
            "padding_share": report(batches).padding_share,
        }

    return run


def _update(experiment: Experiment, tokenizer: Tokenizer, rng: Any) -> tuple[Any, Any]:
    task, training = TranslationTask(experiment, tokenizer).objective, experiment.training
    schedule = make_schedule(experiment.optimizer, experiment.model.d_model, training.num_steps)
    optimizer = make_optimizer(experiment.optimizer, schedule)
    devices = Devices(jax.local_devices()[:1])
    step = make_train_step(
        task.loss, optimizer, max_skipped=1, accumulate_steps=training.accumulate_steps
    )
    return devices.compile(step), devices.replicate(init_state(task.init(rng), optimizer))


if __name__ == "__main__":
    take_our_turn(make)
