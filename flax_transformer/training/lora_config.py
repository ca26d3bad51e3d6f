"""Config of low-rank adaptation."""

import dataclasses

from flax_transformer.errors import UserError, check_number, check_positive, option

DEFAULT_TARGETS = ("query", "value")  # as in the paper


@dataclasses.dataclass(frozen=True)
class LoraConfig:
    """Low-rank adaptation (LoRA) of the weights of `init_from`, which then stay as they are."""

    rank: int = 0
    """Rank of the product that is added to each target; 0: no adapters, all weights are trained."""
    alpha: float = 16.0
    """The product is multiplied by alpha / rank."""
    targets: tuple[str, ...] = ()
    """Parts of the model that get adapters, by a name on their path, such as query, output,
    feed_forward or encoder_0; query and value if none is given. Repeat the option for more."""
    trained: tuple[str, ...] = ()
    """Further parts that are trained in full, such as classifier. Parts that `init_from` lacks
    always are. Repeat the option for more."""

    def __post_init__(self) -> None:
        """Rejects impossible values, and values that would have no effect."""
        check_number("--training.lora.rank", self.rank, 0)
        check_positive("--training.lora.alpha", self.alpha)
        for field in ("alpha", "targets", "trained"):
            value = getattr(self, field)
            if not self.rank and value != getattr(LoraConfig, field):
                shown = " ".join(value) if isinstance(value, tuple) else value
                raise UserError(
                    f"{option(f'training.lora.{field}')} {shown} is set, but --training.lora.rank "
                    "is 0: give a rank such as 8, or leave it out"
                )

    @property
    def chosen(self) -> tuple[str, ...]:
        """The names of the targets."""
        return self.targets or DEFAULT_TARGETS

    @property
    def scale(self) -> float:
        """The factor of the product."""
        return self.alpha / self.rank
