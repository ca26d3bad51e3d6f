"""Images of the user's own, a folder for each class: a data set without code."""

from typing import Any, ClassVar

from flax_transformer.data.datasets.class_folders import ClassFolders
from flax_transformer.data.files.example_paths import IMAGE
from flax_transformer.errors import check_number


class ImageFolders(ClassFolders):
    """Images from FOLDER/SPLIT/CLASS/IMAGE; see `ClassFolders`.

    An image is cropped to its central square and resized.
    """

    KIND: ClassVar = IMAGE

    def __init__(
        self,
        *,
        folder: str,
        image_size: int = 32,
        background: str = "white",
        skip_bad_files: bool = False,
        **kwargs: Any,
    ):
        """Takes the folder, and how many pixels high and wide its images become."""
        check_number("image_size", image_size)
        shape = (image_size, image_size, 3)
        super().__init__(
            folder, shape, background=background, skip_bad_files=skip_bad_files, **kwargs
        )
