"""What a training's steps report, shown and written every so often."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from flax_transformer.evaluation.metric import shown
from flax_transformer.tasks.task import Scored
from flax_transformer.training.metrics import VALIDATION, MetricsWriter, speed_name
from flax_transformer.training.progress import TrainingProgress
from flax_transformer.training.step import StepMetrics
from flax_transformer.training.training_config import TrainingConfig

# More would not keep the device busier, only make an interruption wait for them.
MAX_STEPS_IN_FLIGHT = 2


class Log:
    """Collects what steps report, and shows and writes it every `log_every_steps`.

    Args:
        writer: of the metrics.
        progress: what is shown.
        training: says after which steps the metrics since the last line are shown and written.
        learning_rate: of the update that is made after a number of updates.
        pending: `pending` of the checkpoint from which the training goes on.
        first: takes the first device's copy of the metrics of steps; see `Devices.first`.

    Attributes:
        skipped: updates in a row that were skipped up to the last line.
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
        # Their time was another process': they count for the mean loss, not for the speed.
        self._count = 0
        self._in_flight: deque[StepMetrics] = deque()
        self.skipped = 0

    def add(self, step: int, metrics: StepMetrics, count: int) -> None:
        """Takes one step's metrics as its devices hold them, and how much this process read."""
        self._metrics.append(metrics)
        self._count += count * jax.process_count()
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
        # A longer training would have its next line later, with these steps in it.
        if not self._training.logs_as_last(step):
            self._pending, self._metrics, self._count = [], [], 0

    def pending(self) -> list[dict[str, float]]:
        """The metrics of the steps since the last line that is not only the end's."""
        # Only now: to read the metrics of every step would wait for every step.
        metrics = jax.device_get(self._first(self._metrics))
        return self._pending + [_numbers(values) for values in metrics]

    def evaluation(self, step: int, scored: Scored, started: float) -> None:
        """Shows and writes scores on the validation split and a few outputs."""
        values = {name: score.value for name, score in scored.scores.items()}
        self._writer.write(step, VALIDATION, values)
        figures = "  ".join(f"{name} {shown(name, value)}" for name, value in values.items())
        self._progress.say(f"step {step:,} validation: {figures}")
        for line in scored.samples:
            self._progress.say(line)
        self._progress.pause(since=started)


def _numbers(metrics: StepMetrics) -> dict[str, float]:
    """The metrics of a step by name, the model's further losses among them."""
    values = metrics._asdict()
    return {name: float(value) for name, value in (values | values.pop("extra")).items()}


def _means(steps: Sequence[Mapping[str, float]]) -> dict[str, float | None]:
    """Means over updates, those of losses weighted by units; None without an update."""
    if not steps:
        return {"loss": None, "gradient_norm": None}
    columns = {name: np.array([values[name] for values in steps]) for name in steps[0]}
    weights = np.where(columns["weight"] > 0, columns["weight"], 1)
    losses = [name for name in columns if name not in ("weight", "gradient_norm", "skipped")]
    means: dict[str, float | None] = {
        name: float(np.average(columns[name], weights=weights)) for name in losses
    }
    return means | {"gradient_norm": float(columns["gradient_norm"].mean())}
