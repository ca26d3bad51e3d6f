"""Which checkpoints of a run are kept."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flax_transformer.training.metrics import Goodness, best_step


class KeptSteps:
    """Chooses the checkpoints to keep: the newest due ones, the best and the very newest.

    Args:
        keep: number of newest due checkpoints.
        is_due: whether every training makes a checkpoint at a step.
        scores: returns the validation scores so far, by step; higher is better.
        is_end: whether a step is scored only because the training ends there.
    """

    def __init__(
        self,
        keep: int,
        is_due: Callable[[int], bool],
        scores: Callable[[], Mapping[int, Goodness]],
        is_end: Callable[[int], bool],
    ):
        self._keep, self._is_due, self._scores, self._is_end = keep, is_due, scores, is_end

    def last(self, steps: Sequence[int]) -> list[int]:
        """Returns the newest due steps, the oldest first."""
        return sorted(step for step in steps if self._is_due(step))[-self._keep :]

    def best(self, steps: Sequence[int]) -> int | None:
        """Returns the step with the best score."""
        scores = self._scores()
        return best_step({step: scores[step] for step in steps if step in scores})

    def of(self, steps: Sequence[int]) -> set[int | None]:
        """Returns the steps to keep."""
        lasting = [step for step in steps if not self._is_end(step)]
        best = (self.best(steps), self.best(lasting))
        return {*self.last(steps), *best, max(steps, default=0)}

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Decides for Orbax which checkpoints are kept."""
        kept = self.of([checkpoint.step for checkpoint in checkpoints])
        return [checkpoint.step in kept for checkpoint in checkpoints]
