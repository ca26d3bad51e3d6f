"""preprocessor_config.json of a published folder: how images become the numbers that it reads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flax_transformer.errors import UserError

FILE = "preprocessor_config.json"
# Pixels from 0 to 255 become numbers from -1 to 1.
SCALING = {"image_mean": 0.5, "image_std": 0.5, "rescale_factor": 1 / 255}
STEPS = ("do_rescale", "do_normalize")  # which scale the pixels there
BICUBIC = 3  # Pillow's number of this way to resize


def check_pixels(settings: Mapping[str, Any], path: Path) -> None:
    """Rejects images that are scaled in another way than ours, from -1 to 1.

    Args:
        settings: contents of the file.
        path: of the file, for the error.
    """
    for name in STEPS:
        if not settings.get(name, True):
            raise _other_scale(settings, name, path)
    for name, ours in SCALING.items():
        given = np.asarray(settings.get(name, ours), dtype=object).ravel()
        if any(not isinstance(x, int | float) or abs(x - ours) > 1e-6 for x in given):
            raise _other_scale(settings, name, path)


def _other_scale(settings: Mapping[str, Any], name: str, path: Path) -> UserError:
    return UserError(
        f"{path}: {name} is {settings[name]}, but pixels are scaled from -1 to 1 here: only models "
        "with mean and deviation 0.5 are read"
    )


def write_pixels(config: Any) -> dict[str, Any]:
    """Returns the settings with which transformers computes our numbers.

    Args:
        config: of a model of images.

    Example:
        >>> from flax_transformer.models import VisionConfig
        >>> write_pixels(VisionConfig(num_channels=1))["image_mean"]
        [0.5]
    """
    height, width = config.image_size
    scaling = {
        name: [value] * config.num_channels if name.startswith("image_") else value
        for name, value in SCALING.items()
    }
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": height, "width": width},
        "resample": BICUBIC,
        **dict.fromkeys(STEPS, True),
        **scaling,
        # Gray images stay gray.
        **({"do_convert_rgb": True} if config.num_channels == 3 else {}),
    }
