"""Trains an experiment in its workdir, from the data to the last step."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from flax_transformer.data.batches.prefetching import training_pipeline
from flax_transformer.errors import path_of
from flax_transformer.experiment import Experiment
from flax_transformer.training.checkpoints.settings import flat_settings
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.durability.explained_errors import debug_nans, explain_out_of_memory
from flax_transformer.training.durability.interruption import Interruption, find_interruption
from flax_transformer.training.durability.lasting_console import LastingConsole
from flax_transformer.training.durability.time_accounts import TimeAccounts
from flax_transformer.training.log import Log, TrainingProgress
from flax_transformer.training.mean_check import advice_against_mean
from flax_transformer.training.metrics import MetricsWriter
from flax_transformer.training.processes import check_same, is_first, is_of_runtime
from flax_transformer.training.run import Run
from flax_transformer.training.step import TrainState, make_train_step


def train(
    experiment: Experiment,
    path: str | Path,
    console: Console | None = None,
    find_nans: bool = False,
    checkpoint_dir: str | Path | None = None,
) -> None:
    """Trains an experiment, or continues where an earlier call was interrupted.

    The result is bit-identical to an uninterrupted run, whatever the number of interruptions.

    Args:
        experiment: the experiment to train.
        path: folder of the run, for the task's files, checkpoints and metrics.
        console: console for the progress; standard output by default.
        find_nans: stop at the first operation that makes a NaN; see `debug_nans`. Slow.
        checkpoint_dir: folder of the checkpoints instead, or an address such as gs://bucket/run.
            The workdir remembers it.

    Raises:
        UserError: if the data cannot be read, the folder belongs to another experiment or process
            or is not writable, memory runs out, or numbers are not finite.
        Interrupted: after a signal asked for the end; everything needed to continue is saved.
    """
    # Later commands may run in another folder.
    experiment = experiment.with_absolute_paths()
    workdir = Workdir(path_of("the workdir", path), checkpoint_dir)
    # In a notebook, rich would choose HTML and a bar that needs widgets.
    console = console or LastingConsole(force_jupyter=False, quiet=not is_first())
    check_same(flat_settings(experiment))
    with (
        find_interruption() as interruption,
        TimeAccounts(workdir.times if is_first() else None) as accounts,
        workdir.in_use(),
    ):
        with interruption.at_once():
            run = Run(experiment, workdir, console, accounts)
        # An interrupted training completes its last checkpoint.
        finding = debug_nans() if find_nans else contextlib.nullcontext()
        with _closed(run), finding:
            is_new = _train(run, interruption)
        if is_new:
            run.say(accounts.report())


@contextlib.contextmanager
def _closed(run: Run) -> Iterator[None]:
    """Waits at the end until everything is written."""
    is_left = False
    try:
        yield
    except Exception as error:
        # Another process may have ended, and the checkpoints would wait for it.
        is_left = jax.process_count() > 1 and is_of_runtime(error)
        raise
    finally:
        if not is_left:
            run.close()


def _train(run: Run, interruption: Interruption) -> bool:
    """Makes the remaining steps; returns whether there were any."""
    training, workdir = run.experiment.training, run.workdir
    with interruption.at_once():
        state, notes = run.begin()
        step = interruption.saved_step = int(state.step)
        run.describe(state)
        if run.milestones.is_over(step) and not run.milestones.needs_evaluation(step):
            run.say(f"already trained for {step:,} steps")
            return False
        state = run.devices.place(state)
        update = _compiled_step(run)
        batches = training_pipeline(run.own_batches, start_step=step)
        rng = jax.random.key(run.experiment.seed)
    with (
        TrainingProgress(run.console, training, step, run.task.unit) as progress,
        contextlib.closing(MetricsWriter(workdir.metrics, workdir.tensorboard, step)) as writer,
    ):
        pending = notes.get("pending", ())
        log = Log(writer, progress, training, run.schedule, pending, run.devices.whole)
        _evaluate_if_due(run, interruption, step, state, log)
        while not run.milestones.is_over(step):
            with run.accounts.of("data"):
                batch = next(batches)
            explained = explain_out_of_memory(run.experiment, run.devices, batch)
            with run.accounts.of("step"), explained:
                state, metrics = update(state, run.devices.share(batch), rng)
                step += 1
                log.add(step, metrics, run.devices.of_all(batch.count()))
            if training.logs_at(step):
                run.accounts.write()
                run.stop_if_not_finite(step, state, log, rng)
            is_asked_to_stop = interruption.asks_to_stop(step)
            if is_asked_to_stop or training.saves_at(step):
                run.save(state, log)
                interruption.saved_step = step
            if is_asked_to_stop:
                interruption.check()
            _evaluate_if_due(run, interruption, step, state, log)
    run.checkpoints.prune()
    with interruption.at_once(), run.accounts.of("evaluation"):
        if line := advice_against_mean(
            run.task, run.checkpoints, workdir, run.experiment, run.devices
        ):
            run.say(line)
    return True


def _compiled_step(run: Run) -> Any:
    return run.devices.compile(
        make_train_step(
            run.task.loss,
            run.optimizer,
            max_skipped=run.experiment.training.max_skipped,
            accumulate_steps=run.experiment.training.accumulate_steps,
            axis_name=run.devices.axis_name,
        )
    )


def _evaluate_if_due(
    run: Run, interruption: Interruption, step: int, state: TrainState, log: Log
) -> None:
    """Lets a signal interrupt an evaluation, since the state is saved: it is then repeated."""
    if run.milestones.needs_evaluation(step):
        with interruption.at_once():
            run.evaluate(state, log)
