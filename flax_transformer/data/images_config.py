"""Labeled images: which, and how they are read."""

import dataclasses
from typing import ClassVar

from flax_transformer.data.augmentation_config import AugmentationConfig
from flax_transformer.data.data_config import LabeledConfig
from flax_transformer.data.datasets.datasets import check_fields
from flax_transformer.data.files.pixels import check_color
from flax_transformer.errors import check_number


@dataclasses.dataclass(frozen=True)
class ImagesConfig(LabeledConfig):
    """Which labeled images."""

    dataset: str = "digits"
    """digits (needs scikit-learn), fashion_mnist, cifar10_jpeg, image_folders (your own), or a data
    set of TFDS with one image and one label: beans."""
    folder: str | None = None
    """image_folders: folder with train/CLASS/IMAGE, and validation and test beside train."""
    image_size: int = 32
    """image_folders, and data sets of TFDS with images of several sizes: pixels of the height and
    width to which images are cropped and resized."""
    background: str = "white"
    """The same data sets, and images to classify: color behind transparent pixels, as a name or
    #rrggbb."""
    skip_bad_files: bool = False
    """image_folders: leave out files that cannot be read, and report how many."""
    augmentation: AugmentationConfig = AugmentationConfig()
    """How images are changed at random in training."""

    kind: ClassVar = "image"
    PUBLISHED_READS = ("manual_dir", "image_size", "background")
    PATHS = ("folder",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("data.image_size", self.image_size)
        check_color("--data.background", self.background)
        check_fields(self)
