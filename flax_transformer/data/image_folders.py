"""Images of the user's own, a folder for each class: a data set without code."""

from typing import Any, ClassVar

from flax_transformer.data.class_folders import ClassFolders, ExampleKind
from flax_transformer.data.clips import IMAGES
from flax_transformer.errors import check_number


class ImageFolders(ClassFolders):
    """Images from FOLDER/SPLIT/CLASS/IMAGE; see `ClassFolders`.

    An image is cropped to its central square and resized.
    """

    KIND: ClassVar = ExampleKind(
        "image", lambda path: path.suffix.lower() in IMAGES, ", ".join(IMAGES)
    )

    def __init__(self, *, folder: str, image_size: int = 32, **kwargs: Any):
        """Takes the folder, and how many pixels high and wide its images become."""
        check_number("image_size", image_size)
        super().__init__(folder, (image_size, image_size, 3), **kwargs)
