"""Labeled videos: which, and how they are read."""

import dataclasses
from typing import ClassVar

from flax_transformer.data.augmentation_config import AugmentationConfig
from flax_transformer.data.data_config import LabeledConfig
from flax_transformer.data.datasets.datasets import check_fields
from flax_transformer.data.files.pixels import check_color
from flax_transformer.errors import check_number


@dataclasses.dataclass(frozen=True)
class VideosConfig(LabeledConfig):
    """Which labeled videos."""

    dataset: str = "moving_digits"
    """moving_digits (built in), or video_folders (your own)."""
    folder: str | None = None
    """video_folders: folder with train/CLASS/CLIP, and validation and test beside train; a clip is
    a GIF, WebP or PNG of several frames, a film, or a folder of images."""
    image_size: int = 32
    """video_folders: pixels of the height and width to which frames are cropped and resized."""
    num_frames: int = 8
    """video_folders: frames, taken evenly in time over a clip."""
    background: str = "white"
    """video_folders, and videos to classify: color behind transparent pixels, as a name or
    #rrggbb."""
    skip_bad_files: bool = False
    """video_folders: leave out files that cannot be read, use the readable part of damaged ones,
    and report how many."""
    still: bool = False
    """Show the first frame instead of all others, a control: what a model then knows, it knows
    from one picture."""
    augmentation: AugmentationConfig = AugmentationConfig()
    """How videos are changed at random in training."""

    kind: ClassVar = "video"
    PATHS = ("folder",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("data.image_size", self.image_size)
        check_number("data.num_frames", self.num_frames)
        check_color("--data.background", self.background)
        check_fields(self)
