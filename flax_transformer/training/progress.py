"""What a person sees of a training: a bar on a terminal, plain lines elsewhere; the time left."""

import statistics
import time
from collections import deque
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from flax_transformer.training.training_config import TrainingConfig

NUM_RECENT_STEPS = 50
NUM_RECENT_EVALUATIONS = 5
# A step so many times longer than usual: a stop, a sleeping machine, or a compilation.
GAP_FACTOR = 10


class TimeLeft:
    """Estimates the time until the last step and its evaluation are done.

    seconds = steps left * (mean of the recent steps) + evaluations left * (median of the recent)

    A step of more than ten times the median is left out, so that a training that was suspended, or
    slow for a while, is soon estimated as if it had not been.

    Args:
        num_steps: updates of the whole training.
        evaluate_every_steps: updates between two evaluations.
        clock: gives the time in seconds; `time.perf_counter` if not given.

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
        """Notes that a step is done."""
        now = self._clock()
        self._steps.append(max(now - self._last - self._paused, 0.0))
        self._last, self._paused = now, 0.0

    def evaluation(self, seconds: float) -> None:
        """Notes an evaluation since the last step; its time does not count for the next step."""
        self._paused += seconds
        self._evaluations.append(seconds)

    def seconds(self, step: int) -> float:
        """The seconds left after a step, whose own evaluation may be due; 0 before any step."""
        if not self._steps:
            return 0.0
        usual = GAP_FACTOR * statistics.median_low(self._steps)
        left = (self._num_steps - step) * statistics.fmean(s for s in self._steps if s <= usual)
        if self._evaluations:
            # The last step is always evaluated, and the others every so often.
            num_evaluations = -(-self._num_steps // self._every) - (step - 1) // self._every
            left += num_evaluations * statistics.median_low(self._evaluations)
        return left


class TrainingProgress:
    """Shows step, loss, speed and time left, and measures the speed.

    Args:
        console: where to.
        training: says how many steps and evaluations there are.
        step: updates already made.
        unit: what the speed is counted in.
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
        """Shows where the training stands.

        Args:
            step: updates made.
            loss: mean since the last call; None if no update was made.
            count: of the unit since the last call.
            num_skipped: updates skipped since the last call.

        Returns:
            The unit a second since the last call, pauses not counted.
        """
        now = time.perf_counter()
        speed = count / max(now - self._logged - self._paused, 1e-9)
        self._logged, self._paused = now, 0.0
        shown = "not finite" if loss is None else f"{loss:.3f}"
        status = f"loss {shown}  {speed:,.0f} {self.unit}/s"
        if num_skipped:
            status += f"  {num_skipped} updates skipped: not finite"
        left = f"{_clock(self._time_left.seconds(step))} left"
        self._bar.update(self._task, completed=step, status=status, left=left)
        if not self._console.is_terminal:
            self.say(f"step {step:,}/{self._num_steps:,}  {status}  {left}")
        return speed

    def step(self) -> None:
        """Notes that a step is done, for the time left."""
        self._time_left.step()

    def say(self, line: str) -> None:
        """Prints a line above the bar."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def pause(self, since: float) -> None:
        """Leaves an evaluation, since a `time.perf_counter()`, out of the next speed."""
        seconds = time.perf_counter() - since
        self._paused += seconds
        self._time_left.evaluation(seconds)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
