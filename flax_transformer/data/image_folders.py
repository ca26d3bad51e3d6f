"""Images of the user's own, a folder for each class: a data set without code."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image, ImageOps

from flax_transformer.data.labelled import describe, image_feature, number_examples
from flax_transformer.errors import UserError, check_number, unknown

SPLITS = ("train", "validation", "test")
ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")  # other files may lie beside


class ImageFolders(tfds.core.GeneratorBasedBuilder):
    """Images from FOLDER/SPLIT/CLASS/IMAGE, prepared once for each size and state of the folder.

    The splits are train and, where they are, validation and test; the classes are train's, in
    alphabetical order. An image is cropped to its central square and resized.
    """

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, folder: str, image_size: int = 32, **kwargs: Any):
        """Takes the folder, and how many pixels high and wide its images become."""
        check_number("image_size", image_size)
        self._image_size = image_size
        self._images = find_images(Path(folder).expanduser())
        name = f"{image_size}_{state(self._images)}"
        super().__init__(config=tfds.core.BuilderConfig(name=name), **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        feature = image_feature(self._image_size, self._image_size, 3)
        return describe(self, "Images by class.", "image", feature, tuple(self._images["train"]))

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        return {split: self._generate_examples(paths) for split, paths in self._images.items()}

    def _generate_examples(
        self, classes: dict[str, list[Path]]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        images = (read_image(p, self._image_size) for paths in classes.values() for p in paths)
        labels = (name for name, paths in classes.items() for _ in paths)
        return number_examples("image", images, labels)


def find_images(folder: Path) -> dict[str, dict[str, list[Path]]]:
    """Gives the images of every split and class, all in alphabetical order.

    Raises:
        UserError: if folders are not as `ImageFolders` says, or one of a class has no image.
    """
    splits = _folders(folder)
    for split in splits:
        if split not in SPLITS:
            raise unknown(f"split in {folder}", split, SPLITS)
    if "train" not in splits:
        raise UserError(f"{folder} has no folder train: put images as train/CLASS/IMAGE in it.")
    found = {split: _classes(splits[split]) for split in SPLITS if split in splits}
    if len(found["train"]) < 2:
        raise UserError(
            f"{splits['train']} has {len(found['train'])} folders: give each of at least two "
            "classes one, with its images."
        )
    for split, classes in found.items():
        for name in classes:
            if name not in found["train"]:
                raise unknown(f"class in {splits[split]}", name, found["train"])
    return found


def _folders(folder: Path) -> dict[str, Path]:
    try:
        inner = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        raise UserError(
            f"cannot read {folder} ({error.strerror}): give a folder with train/CLASS/IMAGE."
        ) from None
    return {path.name: path for path in inner if not path.name.startswith(".")}


def _classes(folder: Path) -> dict[str, list[Path]]:
    classes = {}
    for name, inner in _folders(folder).items():
        images = sorted(path for path in inner.iterdir() if path.suffix.lower() in ENDINGS)
        if not images:
            raise UserError(f"{inner} has no image ({', '.join(ENDINGS)}): put some in it.")
        classes[name] = images
    return classes


def state(images: dict[str, dict[str, list[Path]]]) -> str:
    """Names the state of images by their paths, sizes and times.

    Reading all of them at every start, to name their contents, would take minutes.
    """
    digest = hashlib.sha256()
    for classes in images.values():
        for path in (path for paths in classes.values() for path in paths):
            stat = path.stat()
            digest.update(repr((str(path), stat.st_size, stat.st_mtime_ns)).encode())
    return digest.hexdigest()[:16]


def read_image(path: Path, size: int) -> np.ndarray:
    """Reads an image upright, crops it to its central square and resizes it, bicubically.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
    # Of a damaged file Pillow raises any of these.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"cannot read {path} ({error}): mend it, or take it away.") from None
    return np.asarray(ImageOps.fit(upright, (size, size), Image.Resampling.BICUBIC))
