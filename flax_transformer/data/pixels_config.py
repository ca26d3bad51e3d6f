"""Labeled images and videos: the data sets and how they are read."""

import dataclasses
from typing import ClassVar

from flax_transformer.data.augmentation_config import AugmentationConfig
from flax_transformer.data.data_config import DataConfig
from flax_transformer.data.files.pixels import check_color


@dataclasses.dataclass(frozen=True)
class _PixelsConfig(DataConfig):
    """Configuration shared by image and video data sets."""

    batch_size: int = 64
    """Examples in each update, over all devices."""
    folder: str | None = None
    """image_folders, video_folders: folder with train/CLASS/FILE, and folders validation and test
    next to train; a video is a GIF, WebP or PNG of several frames, a video file, or a
    folder of images."""
    image_size: int = 32
    """image_folders, video_folders, and TFDS images of several sizes: height and width in pixels
    to which images and frames are cropped and resized."""
    background: str = "white"
    """For the same data sets, and for files to classify: color behind transparent pixels, as a
    name or #rrggbb."""
    skip_bad_files: bool = False
    """image_folders, video_folders: leave out unreadable files, use the readable part of damaged
    videos, and report how many there are."""
    augmentation: AugmentationConfig = AugmentationConfig()
    """Random augmentation of images and videos in training."""

    PATHS = ("folder",)
    LOWEST: ClassVar = {"batch_size": 1, "image_size": 1, "num_frames": 1}

    def __post_init__(self) -> None:
        check_color("--data.background", self.background)
        super().__post_init__()


@dataclasses.dataclass(frozen=True)
class ImagesConfig(_PixelsConfig):
    """The labeled images."""

    dataset: str = "digits"
    """digits (needs scikit-learn), fashion_mnist, cifar10_jpeg, image_folders (your own), or a data
    set of TFDS with one image and one label, such as beans."""

    kind: ClassVar = "image"
    PUBLISHED_READS = ("manual_dir", "image_size", "background")


@dataclasses.dataclass(frozen=True)
class VideosConfig(_PixelsConfig):
    """The labeled videos."""

    dataset: str = "moving_digits"
    """moving_digits (built in), or video_folders (your own)."""
    num_frames: int = 8
    """video_folders: number of frames, evenly spaced in time over a clip."""
    still: bool = False
    """Replace all frames by the first one: a control that shows how well a single picture is
    classified."""

    kind: ClassVar = "video"
