"""Training from an experiment to its held-out score."""

import contextlib
import dataclasses
import time
from pathlib import Path

import jax
import numpy as np
from rich.console import Console

from flax_transformer.data.batching import TrainingBatches
from flax_transformer.data.datasets import open_split
from flax_transformer.data.pipeline import prepare_training, training_pipeline
from flax_transformer.data.tokenizer import PAD
from flax_transformer.experiment import Experiment
from flax_transformer.tasks.scoring import Scored, Scorer
from flax_transformer.tasks.translator import greedy
from flax_transformer.training.assemble import make_task, make_translator
from flax_transformer.training.checkpoint import Checkpoints
from flax_transformer.training.metrics import MetricsWriter
from flax_transformer.training.optimizer import make_optimizer, make_schedule
from flax_transformer.training.parallel import Devices
from flax_transformer.training.progress import TrainingProgress
from flax_transformer.training.step import (
    StepMetrics,
    TrainState,
    init_state,
    make_train_step,
)
from flax_transformer.training.workdir import Workdir

NUM_SAMPLES = 3


def train(experiment: Experiment, path: Path, console: Console) -> None:
    """Trains an experiment, or continues where an earlier call was interrupted.

    Args:
        experiment: what to train.
        path: folder of the run; it receives the tokenizer, checkpoints and metrics.
        console: where progress is shown.

    Raises:
        UserError: if the data cannot be read or the folder belongs to another experiment.
    """
    # Later commands may be given in another folder.
    data = experiment.data.with_absolute_paths()
    run = _Run(dataclasses.replace(experiment, data=data), path, console)
    # An interrupted training leaves its last checkpoint whole.
    with contextlib.closing(run.checkpoints):
        _train(run)


def _train(run: "_Run") -> None:
    experiment, console = run.experiment, run.console
    state = run.first_state()
    step = int(state.step)
    run.describe(step)
    if step >= experiment.training.num_steps:
        console.print(f"already trained for {step:,} steps", highlight=False)
        return
    rng = jax.random.key(experiment.seed)
    state = run.devices.replicate(state)
    update = run.devices.compile(
        make_train_step(
            run.task.loss,
            run.optimizer,
            accumulate_steps=experiment.training.accumulate_steps,
            axis_name=run.devices.axis_name,
        )
    )
    batches = training_pipeline(
        run.batches.shard(jax.process_index(), jax.process_count()), start_step=step
    )
    with (
        TrainingProgress(console, experiment.training.num_steps, step) as progress,
        contextlib.closing(_Log(run, progress, step)) as log,
    ):
        while step < experiment.training.num_steps:
            batch = next(batches)
            state, metrics = update(state, run.devices.shard(batch), rng)
            step += 1
            log.add(step, run.devices.first(metrics), int(np.count_nonzero(batch.target != PAD)))
            run.after_step(step, state, log)


class _Run:
    """The parts of one training."""

    def __init__(self, experiment: Experiment, path: Path, console: Console):
        self.experiment, self.console = experiment, console
        self.devices = Devices()
        self.workdir = Workdir(path)
        data, training = experiment.data, experiment.training
        # Nothing is written before the batches are made, so that no mistake leaves a trace.
        for split in (data.train_split, data.held_out_split):
            open_split(data, split)
        validation = open_split(data, data.validation_split)
        self.workdir.check(experiment)
        tokenizer, pairs = prepare_training(data, self.workdir.tokenizer)
        num_devices = len(self.devices.devices) * jax.process_count()
        tokens_per_batch, batch_size = data.limits(num_devices)
        self.batches = TrainingBatches(
            pairs,
            tokens_per_batch,
            data.num_buckets,
            num_devices * training.accumulate_steps,
            experiment.seed,
            batch_size,
            data.max_length if data.packing else None,
        )
        self.workdir.start(experiment)
        tokenizer.save(self.workdir.tokenizer)
        self.task = make_task(experiment, tokenizer)
        self.schedule = make_schedule(
            experiment.optimizer, experiment.model.d_model, training.num_steps
        )
        self.optimizer = make_optimizer(experiment.optimizer, self.schedule)
        self.checkpoints = Checkpoints(self.workdir.checkpoints, training.keep_checkpoints)
        translator = make_translator(experiment, self.task, tokenizer, None)
        self.scorer = Scorer(self.task, translator, validation, tokenized=data.form == "tokenized")

    def first_state(self) -> TrainState:
        """The state of the last checkpoint, or a fresh one."""
        variables = self.task.init(jax.random.key(self.experiment.seed))
        state = init_state(variables, self.optimizer)
        steps = self.checkpoints.steps()
        return self.checkpoints.restore(state, steps[-1]) if steps else state

    def describe(self, step: int) -> None:
        """Prints what is about to be trained on what."""
        report = self.batches.report()
        tokens = report.target_tokens_per_batch
        left_out = f", {report.left_out:,} left out" if report.left_out else ""
        for line in (
            f"{report.num_pairs:,} sentence pairs{left_out}; {report.num_shapes} batch shapes, "
            f"each compiled once; {report.batches_per_epoch:,} updates an epoch",
            f"{tokens:,.0f} target tokens an update over {jax.device_count()} "
            f"{jax.devices()[0].device_kind} device(s), padding {report.padding_share:.1%}",
            *([f"continuing after step {step:,}"] if step else []),
        ):
            self.console.print(line, highlight=False, soft_wrap=True)

    def after_step(self, step: int, state: TrainState, log: "_Log") -> None:
        """Evaluates and saves when it is time to."""
        training = self.experiment.training
        is_last = step == training.num_steps
        score = None
        if is_last or step % training.evaluate_every_steps == 0:
            started = time.perf_counter()
            variables = self.devices.first(state.variables)
            scored = self.scorer(variables, greedy(self.experiment.decoding))
            log.evaluation(step, scored, started)
            score = scored.scores[training.best_score].value
        if score is not None or step % training.checkpoint_every_steps == 0:
            self.checkpoints.save(self.devices.first(state), score)


class _Log:
    """Collects what steps report, and shows and writes it every so often."""

    def __init__(self, run: _Run, progress: TrainingProgress, step: int):
        self._run, self._progress = run, progress
        self._writer = MetricsWriter(run.workdir.metrics, run.workdir.tensorboard, step)
        self._metrics: list[StepMetrics] = []
        self._tokens = 0

    def add(self, step: int, metrics: StepMetrics, tokens: int) -> None:
        """Takes one step's metrics, and this process's tokens of it."""
        self._metrics.append(metrics)
        self._tokens += tokens * jax.process_count()
        training = self._run.experiment.training
        if step % training.log_every_steps and step != training.num_steps:
            return
        losses, counts, gradient_norms = np.array(jax.device_get(self._metrics)).T
        loss = float(np.average(losses, weights=np.maximum(counts, 1)))
        speed = self._progress.log(step, loss, self._tokens)
        self._writer.write(
            step,
            "train",
            {
                "loss": loss,
                "gradient_norm": float(gradient_norms.mean()),
                "learning_rate": float(np.asarray(self._run.schedule(step - 1))),
                "target_tokens_per_second": round(speed),
            },
        )
        self._metrics, self._tokens = [], 0

    def evaluation(self, step: int, scored: Scored, started: float) -> None:
        """Shows and writes scores on the validation split and a few translations."""
        values = {name: score.value for name, score in scored.scores.items()}
        self._writer.write(step, "validation", values)
        shown = "  ".join(f"{name} {value:.2f}" for name, value in values.items())
        self._progress.say(f"step {step:,} validation, greedy: {shown}")
        for line in scored.samples(NUM_SAMPLES):
            self._progress.say(line)
        self._progress.pause(since=started)

    def close(self) -> None:
        """Finishes the files."""
        self._writer.close()
