"""What a person sees of a training: a bar on a terminal, plain lines elsewhere."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from flax_transformer.training.time_left import TimeLeft


class TrainingProgress:
    """Shows step, loss, speed and time left, and measures the speed.

    Args:
        console: where to.
        num_steps: updates of the whole training.
        step: updates already made.
        unit: what the speed is counted in.
        time_left: is noted each step and evaluation.
    """

    def __init__(self, console: Console, num_steps: int, step: int, unit: str, time_left: TimeLeft):
        self._console = console
        self._num_steps = num_steps
        self._unit = unit
        self._time_left = time_left
        self._logged = time.perf_counter()
        self._paused = 0.0
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
            "", total=num_steps, completed=step, status="compiling", left=""
        )

    def __enter__(self) -> "TrainingProgress":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
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
        status = f"loss {shown}  {speed:,.0f} {self._unit}/s"
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
