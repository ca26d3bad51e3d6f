"""Videos of the user's own, a folder for each class: a data set without code."""

from pathlib import Path
from typing import Any, ClassVar

from flax_transformer.data.class_folders import ClassFolders, ExampleKind
from flax_transformer.data.clips import CLIPS, images_in
from flax_transformer.errors import check_number


def is_clip(path: Path) -> bool:
    """Whether a path is a file of several frames by its ending, or a folder with images."""
    if path.is_dir():
        return bool(images_in(path))
    return path.suffix.lower() in CLIPS


class VideoFolders(ClassFolders):
    """Videos from FOLDER/SPLIT/CLASS/CLIP; see `ClassFolders`.

    A clip is a file or a folder with its frames, from which frames are taken evenly over its whole
    length, cropped to their central squares and resized.
    """

    KIND: ClassVar = ExampleKind("video", is_clip, f"{', '.join(CLIPS)}, or a folder of images")

    def __init__(self, *, folder: str, image_size: int = 32, num_frames: int = 8, **kwargs: Any):
        """Takes the folder, and how many frames of how many pixels each way its videos become."""
        check_number("image_size", image_size)
        check_number("num_frames", num_frames)
        super().__init__(folder, (num_frames, image_size, image_size, 3), **kwargs)
