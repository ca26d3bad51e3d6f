"""One training of an experiment in its workdir: what it has, begins with, saves and says."""

import time
from pathlib import Path

import jax
from jaxtyping import PRNGKeyArray
from rich.console import Console

from flax_transformer.data.batches.batches import Batches
from flax_transformer.data.datasets.datasets import check_splits
from flax_transformer.errors import UserError
from flax_transformer.experiment import Experiment
from flax_transformer.tasks.tasks import find_task
from flax_transformer.training.assemble import open_checkpoints
from flax_transformer.training.checkpoints.checkpoint_place import OPTION, is_on_disk
from flax_transformer.training.checkpoints.checkpoints import Restored
from flax_transformer.training.checkpoints.initialization import first_variables, tokenizer_folder
from flax_transformer.training.checkpoints.kept_weights import keep_weights
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.durability.data_fingerprints import DataFiles
from flax_transformer.training.durability.not_finite import gradient_again, write_report
from flax_transformer.training.durability.time_accounts import TimeAccounts
from flax_transformer.training.log import Log
from flax_transformer.training.lora import describe, merged
from flax_transformer.training.metrics import Milestones
from flax_transformer.training.optimizer.optimizer_config import make_optimizer, make_schedule
from flax_transformer.training.parallel import choose_devices
from flax_transformer.training.processes import is_first, together
from flax_transformer.training.step import TrainState, init_state, make_gradient


class Run:
    """One training of an experiment in its workdir, which is locked for other processes.

    Args:
        experiment: the experiment to train.
        workdir: its workdir; it may contain the work of an earlier process.
        console: console for the progress.
        accounts: accounts of the time.
    """

    def __init__(
        self, experiment: Experiment, workdir: Workdir, console: Console, accounts: TimeAccounts
    ):
        self.experiment, self.workdir = experiment, workdir
        self.console, self.accounts = console, accounts
        # The first process learns the tokenizer and writes, so that the others only read.
        with together(first_before_others=True):
            self._prepare()
        workdir.check_shared()
        if self._first is not None and self._first.base is not None:
            keep_weights(workdir.base, self._first.base.params)
        self.schedule = make_schedule(
            experiment.optimizer, experiment.model.d_model, experiment.training.num_steps
        )
        self.optimizer = make_optimizer(experiment.optimizer, self.schedule)
        self.checkpoints = open_checkpoints(workdir, experiment.training)

    def _prepare(self) -> None:
        """Opens the data and the task, and claims the workdir."""
        experiment, workdir, training = self.experiment, self.workdir, self.experiment.training
        workdir.check(experiment)
        files = DataFiles(workdir.path, experiment.data)
        files.check_place()
        if is_on_disk(workdir.checkpoints):
            files.check_place(Path(workdir.checkpoints.parent), OPTION)
        files.check()
        check_splits(experiment.data)
        # The batches are made before anything is written, so that user errors leave no trace.
        source = None if experiment.init_from is None else Path(experiment.init_from)
        folder = tokenizer_folder(workdir.path, source)
        self.task = find_task(experiment)[1].open(experiment, folder, training=True)
        mixes_rows = experiment.model.mixes_rows() or self.task.mixes_rows()
        self.devices = choose_devices(training.mesh, mixes_rows)
        num_devices = len(self.devices.devices)
        batches = self.task.batches(experiment.data.train_split, num_devices=num_devices)
        self.batches = batches.filled(self.devices.num_shares * training.accumulate_steps)
        self.milestones = Milestones(training, workdir.metrics)
        self._first = None if workdir.saved_steps() else first_variables(self.task, experiment)
        if not is_first():
            return
        workdir.start(experiment)
        self._note(files)
        self.task.save(workdir.path)

    def begin(self) -> Restored:
        """Returns the state of the last checkpoint, or a new one, and its notes."""
        key = jax.random.key(self.experiment.seed)
        base = self.checkpoints.base
        like = jax.eval_shape(lambda: init_state(self.task.init(key), self.optimizer, base, key))
        restored = self.checkpoints.restore_newest(self.devices.to_restore(like))
        if restored is None:
            first = self._first or first_variables(self.task, self.experiment)
            restored = Restored(init_state(first.variables, self.optimizer, base, key), {})
            self._first = first._replace(variables={}, base=None)  # which would need memory
        self.checkpoints.prune()
        self.accounts.continue_from(restored.notes.get("seconds", {}))
        self.accounts.write()
        return restored

    @property
    def own_batches(self) -> Batches:
        """Returns this process's rows of every batch."""
        return self.batches.shard(self.devices.own_shares, self.devices.num_shares)

    def describe(self, state: TrainState) -> None:
        """Prints a description of the training and its data."""
        devices = f"{jax.device_count()} {jax.devices()[0].device_kind} device(s)"
        for line in self.batches.describe(devices):
            self.say(line)
        number = describe(state.params, state.base)
        self.say(f"{number} (compiling: this can take a minute)")
        if step := int(state.step):
            self.say(f"continuing after step {step:,}")
        elif self._first is not None and self._first.told:
            self.say(self._first.told)
        self._warn_of_warm_up()

    def stop_if_not_finite(self, step: int, state: TrainState, log: Log, rng: PRNGKeyArray) -> None:
        """Ends a training that no longer makes updates, and reports the cause."""
        training = self.experiment.training
        if log.skipped < training.max_skipped:
            return
        first = step - log.skipped + 1
        batch = self.own_batches[first - 1]
        gradient = make_gradient(
            self.task.loss,
            accumulate_steps=training.accumulate_steps,
            axis_name=self.devices.axis_name,
        )
        report = write_report(
            self.workdir.path / "not_finite" / f"step-{first}",
            first,
            gradient_again(gradient, self.devices, state, first, batch, rng),
            self.devices.whole(state.params),
            batch,
            self.task.examples(batch),
        )
        raise UserError(
            f"loss or gradient was not finite in {log.skipped} updates in a row, from step {first} "
            f"on (its batch and the gradient of each layer: {report}): lower "
            "--optimizer.learning-rate, set --optimizer.clip-norm 1, or find the first operation "
            "with --debug-nans"
        )

    def save(self, state: TrainState, log: Log) -> None:
        """Saves a state as the devices hold it; writing continues in the background."""
        with self.accounts.of("step"):
            jax.block_until_ready(state.step)
        with self.accounts.of("checkpoint"):
            notes = {"pending": log.pending(), "seconds": self.accounts.seconds()}
            self.checkpoints.save(self.devices.to_save(state._replace(base=None)), notes)

    def evaluate(self, state: TrainState, log: Log) -> None:
        """Scores a state, as the devices hold it, on the validation split."""
        with self.accounts.of("evaluation"):
            started = time.perf_counter()
            variables = merged(*self.devices.whole((state.variables, state.base)))
            variables = self.devices.place_for_use(variables)
            split = self.experiment.data.validation_split
            scored = self.task.evaluate(variables, split, is_quick=True)
            step = int(self.devices.whole(state.step))
            log.evaluation(step, scored, started)
        if line := self.milestones.other_choice(step):
            self.say(line)

    def say(self, line: str) -> None:
        """Prints a line."""
        self.console.print(line, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Waits until everything is written."""
        with self.accounts.of("checkpoint"):
            self.checkpoints.close()
        self.accounts.write()

    def _note(self, files: DataFiles) -> None:
        was_noted = files.is_noted
        files.note()
        if self._first is None and files.is_noted and not was_noted:
            self.say("the data files were not recorded before: they are recorded as they are now")

    def _warn_of_warm_up(self) -> None:
        """Warns if the training ends before the learning rate's peak, as only short trials do."""
        warmup_steps = self.experiment.optimizer.warmup_steps
        num_steps = self.experiment.training.num_steps
        if num_steps < warmup_steps:
            self.say(
                f"warning: the learning rate rises for {warmup_steps:,} updates, but the training "
                f"has {num_steps:,}, and ends at {num_steps / warmup_steps:.1%} of the peak: lower "
                "--optimizer.warmup-steps, or raise --training.num-steps"
            )
