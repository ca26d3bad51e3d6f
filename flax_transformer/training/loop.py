"""Training from an experiment to its held-out score."""

import contextlib
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from flax_transformer.data.batches.prefetching import training_pipeline
from flax_transformer.experiment import Experiment
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.durability.debug_nans import debug_nans
from flax_transformer.training.durability.interruption import Interruption
from flax_transformer.training.durability.memory_errors import explain_out_of_memory
from flax_transformer.training.durability.time_accounts import TimeAccounts
from flax_transformer.training.log import Log
from flax_transformer.training.metrics import MetricsWriter
from flax_transformer.training.progress import TrainingProgress
from flax_transformer.training.run import Run
from flax_transformer.training.step import TrainState, make_train_step


def train(
    experiment: Experiment,
    path: str | Path,
    console: Console | None = None,
    find_nans: bool = False,
) -> None:
    """Trains an experiment, or continues where an earlier call was interrupted.

    However often it is interrupted, it ends bit for bit where it would have ended without.

    Args:
        experiment: what to train.
        path: folder of the run; it receives what the task keeps, checkpoints and metrics.
        console: where progress is shown; standard output if not given.
        find_nans: stop at the first operation that makes a NaN; see `debug_nans`. Slow.

    Raises:
        UserError: if the data cannot be read, the folder belongs to another experiment or process,
            nothing can be written into it, memory runs out, or numbers are not finite.
        Interrupted: if a signal asked for the end; everything needed to go on is saved.
    """
    # Later commands may be given in another folder.
    experiment = experiment.with_absolute_paths()
    workdir = Workdir(Path(path))
    # In a notebook, rich's own choice would be HTML and a bar that needs widgets.
    console = console or Console(force_jupyter=False)
    with (
        Interruption() as interruption,
        TimeAccounts(workdir.times) as accounts,
        workdir.in_use(),
    ):
        with interruption.at_once():
            run = Run(experiment, workdir, console, accounts)
        # An interrupted training leaves its last checkpoint whole.
        finding = debug_nans() if find_nans else contextlib.nullcontext()
        with contextlib.closing(run), finding:
            is_new = _train(run, interruption)
        if is_new:
            run.say(accounts.report())


def _train(run: Run, interruption: Interruption) -> bool:
    """Makes the steps that are left; tells whether there were any."""
    training, workdir = run.experiment.training, run.workdir
    with interruption.at_once():
        state, notes = run.begin()
        step = int(state.step)
        run.describe(state)
        if run.milestones.is_over(step) and not run.milestones.needs_evaluation(step):
            run.say(f"already trained for {step:,} steps")
            return False
        state = run.devices.replicate(state)
        update = _compiled_step(run)
        batches = training_pipeline(run.own_batches, start_step=step)
        rng = jax.random.key(run.experiment.seed)
    with (
        TrainingProgress(run.console, training, step, run.task.unit) as progress,
        contextlib.closing(MetricsWriter(workdir.metrics, workdir.tensorboard, step)) as writer,
    ):
        log = Log(
            writer, progress, training, run.schedule, notes.get("pending", ()), run.devices.first
        )
        _evaluate_if_due(run, interruption, step, state, log)
        while not run.milestones.is_over(step):
            with run.accounts.of("data"):
                batch = next(batches)
            explained = explain_out_of_memory(run.experiment, run.devices, batch)
            with run.accounts.of("step"), explained:
                state, metrics = update(state, run.devices.shard(batch), rng)
                step += 1
                log.add(step, metrics, batch.count())
            if training.logs_at(step):
                run.accounts.write()
                run.stop_if_not_finite(step, state, log, rng)
            is_asked_to_stop = interruption.requested is not None
            if is_asked_to_stop or training.saves_at(step):
                run.save(state, log)
            if is_asked_to_stop:
                interruption.check()
            _evaluate_if_due(run, interruption, step, state, log)
    run.checkpoints.prune()
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
    """An evaluation may be left in its midst, for the state is saved: it is then made again."""
    if run.milestones.needs_evaluation(step):
        with interruption.at_once():
            run.evaluate(state, log)
