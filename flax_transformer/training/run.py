"""The parts of one training, made of its experiment."""

import time

import jax
from jaxtyping import PRNGKeyArray
from rich.console import Console

from flax_transformer.data.batching import TrainingBatches
from flax_transformer.data.datasets import open_split
from flax_transformer.data.pipeline import prepare_training
from flax_transformer.errors import UserError
from flax_transformer.experiment import Experiment
from flax_transformer.tasks.scoring import Scorer
from flax_transformer.tasks.translator import greedy
from flax_transformer.training.accounts import TimeAccounts
from flax_transformer.training.assemble import make_task, make_translator, open_checkpoints
from flax_transformer.training.checkpoint import Restored
from flax_transformer.training.log import Log
from flax_transformer.training.metrics import scores_since_best, validation_scores
from flax_transformer.training.not_finite import write_report
from flax_transformer.training.optimizer import make_optimizer, make_schedule
from flax_transformer.training.parallel import Devices
from flax_transformer.training.step import TrainState, init_state, make_gradient
from flax_transformer.training.workdir import Workdir


class Run:
    """One training of an experiment in its workdir, which no other process may train in.

    Args:
        experiment: what to train.
        workdir: where; it may hold what an earlier process has done.
        console: where progress is shown.
        accounts: of the time.
    """

    def __init__(
        self, experiment: Experiment, workdir: Workdir, console: Console, accounts: TimeAccounts
    ):
        self.experiment, self.workdir = experiment, workdir
        self.console, self.accounts = console, accounts
        self.devices = Devices()
        data, training = experiment.data, experiment.training
        # Nothing is written before the batches are made, so that no mistake leaves a trace.
        for split in (data.train_split, data.held_out_split):
            open_split(data, split)
        validation = open_split(data, data.validation_split)
        workdir.check(experiment)
        tokenizer, pairs = prepare_training(data, workdir.tokenizer)
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
        workdir.start(experiment)
        tokenizer.save(workdir.tokenizer)
        self.tokenizer = tokenizer
        self.task = make_task(experiment, tokenizer)
        self.schedule = make_schedule(
            experiment.optimizer, experiment.model.d_model, training.num_steps
        )
        self.optimizer = make_optimizer(experiment.optimizer, self.schedule)
        self.checkpoints = open_checkpoints(workdir, training)
        translator = make_translator(experiment, self.task, tokenizer, None)
        self._score = Scorer(self.task, translator, validation, tokenized=data.form == "tokenized")

    def begin(self) -> Restored:
        """The state of the last checkpoint, or a fresh one, and what was noted with it."""
        state = init_state(self.task.init(jax.random.key(self.experiment.seed)), self.optimizer)
        restored = self.checkpoints.restore_newest(state) or Restored(state, {})
        self.checkpoints.prune()
        self.accounts.continue_from(restored.notes.get("seconds", {}))
        self.accounts.write()
        return restored

    @property
    def own_batches(self) -> TrainingBatches:
        """This process's rows of every batch."""
        return self.batches.shard(jax.process_index(), jax.process_count())

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
            self.say(line)

    def needs_evaluation(self, step: int) -> bool:
        """Whether the model is to be scored after a step, and was not yet."""
        is_due = step > 0 and self.experiment.training.evaluates_at(step)
        return is_due and step not in self._scores(step)

    def is_over(self, step: int) -> bool:
        """Whether no further step follows."""
        training = self.experiment.training
        if step >= training.num_steps or training.patience is None:
            return step >= training.num_steps
        # Only after an evaluation the scores are others than before.
        return training.evaluates_at(step) and (
            scores_since_best(self._scores(step)) >= training.patience
        )

    def stop_if_not_finite(self, step: int, state: TrainState, log: Log, rng: PRNGKeyArray) -> None:
        """Ends a training that makes no updates any more, with what made them impossible."""
        training = self.experiment.training
        if log.skipped < training.max_skipped:
            return
        first = step - log.skipped + 1
        report = write_report(
            self.workdir.path / "not_finite" / f"step-{first}",
            first,
            make_gradient(
                self.task.loss,
                accumulate_steps=training.accumulate_steps,
                axis_name=self.devices.axis_name,
            ),
            self.devices,
            state,
            self.own_batches[first - 1],
            rng,
            self.tokenizer,
        )
        raise UserError(
            f"loss or gradient was not finite in {log.skipped} updates in a row, from step {first} "
            f"on (its batch and the gradient of each layer: {report}): lower "
            "--optimizer.learning-rate, set --optimizer.clip-norm 1, or find the first operation "
            "with --debug-nans"
        )

    def save(self, state: TrainState, log: Log) -> None:
        """Saves a state as the devices hold it; writing goes on in the background."""
        with self.accounts.of("step"):
            jax.block_until_ready(state.step)
        with self.accounts.of("checkpoint"):
            notes = {"pending": log.pending(), "seconds": self.accounts.seconds()}
            self.checkpoints.save(self.devices.first(state), notes)

    def evaluate(self, state: TrainState, log: Log) -> None:
        """Scores a state, as the devices hold it, on the validation split."""
        with self.accounts.of("evaluation"):
            started = time.perf_counter()
            host = self.devices.first(state)
            scored = self._score(host.variables, greedy(self.experiment.decoding))
            log.evaluation(int(host.step), scored, started)

    def say(self, line: str) -> None:
        """Prints a line."""
        self.console.print(line, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Waits until everything is written."""
        with self.accounts.of("checkpoint"):
            self.checkpoints.close()
        self.accounts.write()

    def _scores(self, step: int) -> dict[int, float]:
        """Those up to a step: the file may hold later ones, which will be made again."""
        name = self.experiment.training.best_score
        scores = validation_scores(self.workdir.metrics, name)
        return {scored: value for scored, value in scores.items() if scored <= step}
