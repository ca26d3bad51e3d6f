"""Videos of the user's own, a folder for each class: a data set without code."""

from typing import Any, ClassVar

from flax_transformer.data.datasets.class_folders import ClassFolders
from flax_transformer.data.files.example_paths import VIDEO
from flax_transformer.errors import check_number


class VideoFolders(ClassFolders):
    """Videos from FOLDER/SPLIT/CLASS/CLIP; see `ClassFolders`.

    A clip is a file or a folder with its frames, from which frames are taken evenly over its whole
    length, cropped to their central squares and resized.
    """

    KIND: ClassVar = VIDEO

    def __init__(
        self,
        *,
        folder: str,
        image_size: int = 32,
        num_frames: int = 8,
        background: str = "white",
        skip_bad_files: bool = False,
        **kwargs: Any,
    ):
        """Takes the folder, and how many frames of how many pixels each way its videos become."""
        check_number("image_size", image_size)
        check_number("num_frames", num_frames)
        shape = (num_frames, image_size, image_size, 3)
        super().__init__(
            folder, shape, background=background, skip_bad_files=skip_bad_files, **kwargs
        )
