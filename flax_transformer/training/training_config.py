"""How long to train and what to keep."""

import dataclasses

from flax_transformer.errors import check_number, option
from flax_transformer.training.lora_config import LoraConfig
from flax_transformer.training.mesh_shape import parse_mesh


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """The length of the training, and the intervals of its evaluations, checkpoints and metrics."""

    num_steps: int = 100_000
    """Number of updates of the model."""
    accumulate_steps: int = 1
    """Micro-batches into which an update's batch is split, to reduce memory."""
    evaluate_every_steps: int = 1000
    """Updates between two evaluations on the validation split, each after a checkpoint."""
    checkpoint_every_steps: int = 1000
    """Updates between two checkpoints."""
    keep_checkpoints: int = 5
    """Number of newest checkpoints to keep, in addition to the one with the best validation score;
    their mean is the averaged model (section 6.1 of the paper: 5 for base, 20 for big)."""
    best_score: str | None = None
    """Validation score that chooses the best checkpoint; the task's first score if not given. While
    it is 0 at every evaluation, the task's next score is used."""
    patience: int | None = None
    """Consecutive evaluations without a better score after which training ends; no limit if not
    given."""
    max_skipped: int = 10
    """Consecutive updates skipped because loss or gradient is not finite, after which the training
    stops."""
    log_every_steps: int = 50
    """Updates between two lines of metrics."""
    mesh: str | None = None
    """Sizes of a mesh of devices, such as data=-1,fsdp=4,tensor=1: data counts copies of the model,
    fsdp the parts of it, tensor the parts of each product, expert the parts of the experts; -1 is
    the rest. If not given, all devices have the whole model."""
    lora: LoraConfig = LoraConfig()

    def __post_init__(self) -> None:
        """Rejects numbers that are not positive, or too large to count to."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int):
                check_number(option(f"training.{field.name}"), value)
        if self.mesh is not None:
            parse_mesh(self.mesh)

    @property
    def score(self) -> str:
        """The score that chooses the best checkpoint; the experiment fills it in."""
        assert self.best_score is not None
        return self.best_score

    def evaluates_at(self, step: int) -> bool:
        """Returns whether the model is scored after `step` updates."""
        return step % self.evaluate_every_steps == 0 or self.evaluates_as_last(step)

    def evaluates_as_last(self, step: int) -> bool:
        """Returns whether the model is scored at `step` only because the training ends there."""
        return step == self.num_steps and step % self.evaluate_every_steps != 0

    def saves_at(self, step: int) -> bool:
        """Returns whether a checkpoint is due after `step` updates."""
        return self.evaluates_at(step) or step % self.checkpoint_every_steps == 0

    def logs_at(self, step: int) -> bool:
        """Returns whether a line of metrics is due after `step` updates."""
        return step % self.log_every_steps == 0 or self.logs_as_last(step)

    def logs_as_last(self, step: int) -> bool:
        """Returns whether metrics are due at `step` only because the training ends there."""
        return step == self.num_steps and step % self.log_every_steps != 0
