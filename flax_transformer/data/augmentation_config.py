"""How images and videos are changed by chance in training."""

import dataclasses

from flax_transformer.errors import UserError, check_number

MAX_MAGNITUDE = 10


@dataclasses.dataclass(frozen=True)
class AugmentationConfig:
    """Changes by chance, in this order, other ones in every step; none unless asked for.

    All frames of a video are changed alike. No evaluation changes anything.
    """

    shift: int = 0
    """Pixels by which images are moved at most, up or down and sideways; black follows."""
    flip: bool = False
    """Whether half of the images are mirrored, left to right."""
    rotation: float = 0.0
    """Degrees by which images are turned at most, to either side."""
    scale: float = 0.0
    """Share by which images grow or shrink at most: 0.1 for a tenth."""
    slant: float = 0.0
    """Degrees by which upright lines are slanted at most, to either side."""
    rand_augment_layers: int = 0
    """RandAugment (Cubuk et al. 2020): changes drawn for each image, one after the other."""
    rand_augment_magnitude: float = 9.0
    """RandAugment: how strong these changes are, 0 to 10."""
    mixup: float = 0.0
    """mixup (Zhang et al. 2018): alpha of the Beta distribution of the share with which an image
    and another one are mixed; 0 mixes nothing."""

    def __post_init__(self) -> None:
        """Refuses values that mean nothing."""
        for name in ("shift", "rand_augment_layers"):
            check_number(f"data.augmentation.{name}", getattr(self, name), 0)
        limits = {
            "rotation": 180,
            "scale": 0.9,
            "slant": 60,
            "rand_augment_magnitude": MAX_MAGNITUDE,
            "mixup": 100,
        }
        for name, highest in limits.items():
            value = getattr(self, name)
            if not 0 <= value <= highest:
                raise UserError(
                    f"data.augmentation.{name} must be between 0 and {highest}, not {value}"
                )
