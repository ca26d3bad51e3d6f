"""How images and videos are augmented in training."""

import dataclasses

from flax_transformer.errors import UserError, check_number, option

MAX_MAGNITUDE = 10


@dataclasses.dataclass(frozen=True)
class AugmentationConfig:
    """Random augmentations, in this order, drawn again in every step; none by default.

    All frames of a video get the same augmentation. Evaluation never augments.
    """

    shift: int = 0
    """Largest shift of an image in pixels, up or down and sideways; the uncovered edge is black."""
    flip: bool = False
    """Mirror half of the images, left to right."""
    rotation: float = 0.0
    """Largest rotation of an image in degrees, to either side."""
    scale: float = 0.0
    """Largest change of the scale of an image: 0.1 for a tenth larger or smaller."""
    slant: float = 0.0
    """Largest slant of upright lines in degrees, to either side."""
    rand_augment_layers: int = 0
    """RandAugment (Cubuk et al. 2020): number of operations drawn for each image."""
    rand_augment_magnitude: float = 9.0
    """RandAugment: strength of these operations, 0 to 10."""
    mixup: float = 0.0
    """mixup (Zhang et al. 2018): alpha of the Beta distribution of the mixing weight of two images;
    0 disables mixup."""

    def __post_init__(self) -> None:
        """Rejects impossible values."""
        for name in ("shift", "rand_augment_layers"):
            check_number(option(f"data.augmentation.{name}"), getattr(self, name), 0)
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
                name = option(f"data.augmentation.{name}")
                raise UserError(f"{name} must be between 0 and {highest}, not {value}")
