"""How long a training will still take, by its recent steps."""

import statistics
import time
from collections import deque
from collections.abc import Callable

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
        clock: gives the time in seconds.

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
        clock: Callable[[], float] = time.perf_counter,
    ):
        self._num_steps, self._every = num_steps, evaluate_every_steps
        self._clock = clock
        self._last, self._paused = clock(), 0.0
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
