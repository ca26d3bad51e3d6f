"""What a person sees of a training: a bar on a terminal, plain lines elsewhere."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class TrainingProgress:
    """Shows step, loss, speed and time left, and measures the speed.

    Args:
        console: where to.
        num_steps: updates of the whole training.
        step: updates already made.
        unit: what the speed is counted in.
    """

    def __init__(self, console: Console, num_steps: int, step: int, unit: str):
        self._console = console
        self._num_steps = num_steps
        self._unit = unit
        self._first_step = step
        self._started = self._logged = time.perf_counter()
        self._paused = 0.0
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=num_steps, completed=step, status="compiling")

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
        self._bar.update(self._task, completed=step, status=status)
        if not self._console.is_terminal:
            elapsed = now - self._started
            left = elapsed / (step - self._first_step) * (self._num_steps - step)
            self.say(f"step {step:,}/{self._num_steps:,}  {status}  {_clock(left)} left")
        return speed

    def say(self, line: str) -> None:
        """Prints a line above the bar."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def pause(self, since: float) -> None:
        """Leaves the time since a `time.perf_counter()` out of the next speed."""
        self._paused += time.perf_counter() - since


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
