"""When a training is scored, and when it is over."""

from pathlib import Path

from flax_transformer.training.metrics import (
    Goodness,
    deciding_score,
    scores_since_best,
    validation_scores,
)
from flax_transformer.training.training_config import TrainingConfig


class Milestones:
    """Decides after a step what follows, by the scores measured so far.

    Args:
        training: how often to score, and for how long to train.
        metrics: file of the scores; it may not exist yet.
    """

    def __init__(self, training: TrainingConfig, metrics: Path):
        self._training, self._metrics = training, metrics
        self._best_score = training.score

    def needs_evaluation(self, step: int) -> bool:
        """Whether the model is to be scored after a step, and was not yet."""
        is_due = step > 0 and self._training.evaluates_at(step)
        return is_due and step not in self._scores(step)

    def is_over(self, step: int) -> bool:
        """Whether no further step follows."""
        training = self._training
        if step >= training.num_steps or training.patience is None:
            return step >= training.num_steps
        # Only after an evaluation the scores are others than before.
        return training.evaluates_at(step) and (
            scores_since_best(self._scores(step)) >= training.patience
        )

    def other_choice(self, step: int) -> str | None:
        """Says once, after two evaluations, that the chosen best_score is 0 at both."""
        decides = deciding_score(self._metrics, self._best_score)
        if decides == self._best_score or len(self._scores(step)) != 2:
            return None
        return (
            f"{self._best_score} has been 0 at every evaluation: until it is not, the best "
            f"checkpoint is chosen by {decides}"
        )

    def _scores(self, step: int) -> dict[int, Goodness]:
        """Those up to a step: the file may hold later ones, which will be made again."""
        scores = validation_scores(self._metrics, self._best_score)
        return {scored: value for scored, value in scores.items() if scored <= step}
