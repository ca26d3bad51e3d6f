"""Metrics of training steps: shown with the time left, and written at intervals."""

import statistics
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from flax_transformer.evaluation.metric import shown_scores
from flax_transformer.tasks.task import Scored
from flax_transformer.training.metrics import VALIDATION, MetricsWriter, speed_name
from flax_transformer.training.step import StepMetrics
from flax_transformer.training.training_config import TrainingConfig

# More steps would not keep the device busier, but an interruption would wait for them.
MAX_STEPS_IN_FLIGHT = 2
NUM_RECENT_STEPS = 50
NUM_RECENT_EVALUATIONS = 5
# A step this many times longer than usual: a pause, a sleeping machine, or a compilation.
GAP_FACTOR = 10


class TimeLeft:
    """Estimates the time until the last step and its evaluation are done.

    seconds = steps left * (mean of the recent steps) + evaluations left * (median of the recent)

    A step longer than ten times the median is left out, so the estimate soon recovers after a
    suspension or a slow period.

    Args:
        num_steps: updates of the whole training.
        evaluate_every_steps: updates between two evaluations.
        clock: returns the time in seconds; `time.perf_counter` by default.

    Example:
        >>> times = iter([0.0, 2.0, 4.0, 3600.0, 3602.0])
        >>> left = TimeLeft(100, 1000, clock=lambda: next(times))
        >>> for _ in range(4):
        ...     left.step()
        >>> left.seconds(90)
        20.0
    """

    def __init__(
        self,
        num_steps: int,
        evaluate_every_steps: int,
        clock: Callable[[], float] | None = None,
    ):
        self._num_steps, self._every = num_steps, evaluate_every_steps
        self._clock = clock or time.perf_counter
        self._last, self._paused = self._clock(), 0.0
        self._steps: deque[float] = deque(maxlen=NUM_RECENT_STEPS)
        self._evaluations: deque[float] = deque(maxlen=NUM_RECENT_EVALUATIONS)

    def step(self) -> None:
        """Records the end of a step."""
        now = self._clock()
        self._steps.append(max(now - self._last - self._paused, 0.0))
        self._last, self._paused = now, 0.0

    def evaluation(self, seconds: float) -> None:
        """Records an evaluation since the last step; the next step's time excludes it."""
        self._paused += seconds
        self._evaluations.append(seconds)

    def seconds(self, step: int) -> float:
        """The seconds left after a step, possibly before its evaluation; 0 before any step."""
        if not self._steps:
            return 0.0
        usual = GAP_FACTOR * statistics.median_low(self._steps)
        left = (self._num_steps - step) * statistics.fmean(s for s in self._steps if s <= usual)
        if self._evaluations:
            # The last step is always evaluated, in addition to the regular evaluations.
            num_evaluations = -(-self._num_steps // self._every) - (step - 1) // self._every
            left += num_evaluations * statistics.median_low(self._evaluations)
        return left


class TrainingProgress:
    """Shows step, loss, speed and time left, and measures the speed.

    Args:
        console: output console.
        training: config with the number of steps and evaluations.
        step: updates already made.
        unit: unit of the speed.
    """

    def __init__(self, console: Console, training: TrainingConfig, step: int, unit: str):
        self._console, self._num_steps, self.unit = console, training.num_steps, unit
        self._time_left = TimeLeft(training.num_steps, training.evaluate_every_steps)
        self._logged, self._paused = time.perf_counter(), 0.0
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"),
            TextColumn("[progress.remaining]{task.fields[left]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(
            "", total=self._num_steps, completed=step, status="compiling", left=""
        )

    def __enter__(self) -> "TrainingProgress":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def log(self, step: int, loss: float | None, count: int, num_skipped: int = 0) -> float:
        """Shows the current state of the training.

        Args:
            step: updates made.
            loss: mean since the last call; None without an update.
            count: units since the last call.
            num_skipped: updates skipped since the last call.

        Returns:
            Units per second since the last call, without pauses.
        """
        now = time.perf_counter()
        speed = count / max(now - self._logged - self._paused, 1e-9)
        self._logged, self._paused = now, 0.0
        mean = "not finite" if loss is None else f"{loss:.3f}"
        status = f"loss {mean}  {speed:,.0f} {self.unit}/s"
        if num_skipped:
            status += f"  {num_skipped} updates skipped: not finite"
        seconds = self._time_left.seconds(step)
        # The last step is always evaluated.
        is_last = step == self._num_steps
        left = "only its evaluation is left" if is_last else f"{_clock(seconds)} left"
        self._bar.update(self._task, completed=step, status=status, left=left)
        if not self._console.is_terminal:
            self.say(f"step {step:,}/{self._num_steps:,}  {status}  {left}")
        return speed

    def step(self) -> None:
        """Records the end of a step, for the time left."""
        self._time_left.step()

    def say(self, line: str) -> None:
        """Prints a line above the bar."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def pause(self, since: float) -> None:
        """Excludes an evaluation, begun at a `time.perf_counter()`, from the next speed."""
        seconds = time.perf_counter() - since
        self._paused += seconds
        self._time_left.evaluation(seconds)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class Log:
    """Collects metrics of steps, and shows and writes them every `log_every_steps`.

    Args:
        writer: writer of the metrics.
        progress: progress display.
        training: config with the steps after which metrics are shown and written.
        learning_rate: maps the number of updates made to the learning rate of the next.
        pending: `pending` of the checkpoint from which the training continues.
        first: returns metrics of steps as usual arrays; see `Devices.whole`.

    Attributes:
        skipped: consecutive skipped updates up to the last line.
    """

    def __init__(
        self,
        writer: MetricsWriter,
        progress: TrainingProgress,
        training: TrainingConfig,
        learning_rate: Callable[[int], Any],
        pending: Sequence[Mapping[str, float]],
        first: Callable[[Any], Any],
    ):
        self._writer, self._progress = writer, progress
        self._training, self._learning_rate = training, learning_rate
        self._pending, self._first = [dict(values) for values in pending], first
        self._metrics: list[StepMetrics] = []
        # Another process made these steps: they count for the mean loss, not for the speed.
        self._count = 0
        self._in_flight: deque[StepMetrics] = deque()
        self.skipped = 0

    def add(self, step: int, metrics: StepMetrics, count: int) -> None:
        """Adds a step's metrics as its devices hold them, and its count of units."""
        self._metrics.append(metrics)
        self._count += count
        self._in_flight.append(metrics)
        if len(self._in_flight) > MAX_STEPS_IN_FLIGHT:
            jax.block_until_ready(self._in_flight.popleft())
        self._progress.step()
        if not self._training.logs_at(step):
            return
        steps = self.pending()
        self.skipped = int(steps[-1]["skipped"])
        means = _means([values for values in steps if values["skipped"] == 0])
        num_skipped = sum(values["skipped"] > 0 for values in steps)
        speed = self._progress.log(step, means["loss"], self._count, num_skipped)
        self._writer.write(
            step,
            "train",
            {
                **means,
                "skipped_updates": num_skipped,
                "learning_rate": float(np.asarray(self._learning_rate(step - 1))),
                speed_name(self._progress.unit): round(speed),
            },
        )
        # A longer training would write its next line later, including these steps.
        if not self._training.logs_as_last(step):
            self._pending, self._metrics, self._count = [], [], 0

    def pending(self) -> list[dict[str, float]]:
        """The metrics of the steps since the last regular line, without a final one."""
        # Only now: reading the metrics of every step would wait for every step.
        metrics = jax.device_get(self._first(self._metrics))
        return self._pending + [_numbers(values) for values in metrics]

    def evaluation(self, step: int, scored: Scored, started: float) -> None:
        """Shows and writes scores on the validation split and a few outputs."""
        values = {name: score.value for name, score in scored.scores.items()}
        self._writer.write(step, VALIDATION, values)
        self._progress.say(f"step {step:,} validation: {shown_scores(values)}")
        for line in scored.samples:
            self._progress.say(line)
        self._progress.pause(since=started)


def _numbers(metrics: StepMetrics) -> dict[str, float]:
    """Returns the metrics of a step by name, including the model's further losses."""
    values = metrics._asdict()
    return {name: float(value) for name, value in (values | values.pop("extra")).items()}


def _means(steps: Sequence[Mapping[str, float]]) -> dict[str, float | None]:
    """Returns means over updates, weighting losses by units; None without an update."""
    if not steps:
        return {"loss": None, "gradient_norm": None}
    columns = {name: np.array([values[name] for values in steps]) for name in steps[0]}
    weights = np.where(columns["weight"] > 0, columns["weight"], 1)
    losses = [name for name in columns if name not in ("weight", "gradient_norm", "skipped")]
    means: dict[str, float | None] = {
        name: float(np.average(columns[name], weights=weights)) for name in losses
    }
    return means | {"gradient_norm": float(columns["gradient_norm"].mean())}
