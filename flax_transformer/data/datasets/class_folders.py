"""What data sets of a user's own folders share: SPLIT/CLASS/EXAMPLE, an example a path."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import ImageColor

from flax_transformer.data.datasets.labelled import LABEL, describe
from flax_transformer.data.files.clips import images_in
from flax_transformer.data.files.example_files import ExampleFiles, Found
from flax_transformer.data.files.example_paths import ExampleKind, find_examples
from flax_transformer.data.files.folders import tell_passed_over
from flax_transformer.data.files.image_files import read_pixels


class ClassFolders(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Examples from FOLDER/SPLIT/CLASS/EXAMPLE, prepared once for each shape and state of them.

    The splits are train and, where they are, validation (also valid or val) and test; the classes
    are train's, in the natural order of their names. Folders within those of classes are read too.
    """

    VERSION = tfds.core.Version("2.0.0")
    KIND: ClassVar[ExampleKind]

    def __init__(
        self,
        folder: str,
        shape: tuple[int, ...],
        *,
        background: str,
        skip_bad_files: bool,
        **kwargs: Any,
    ):
        """Takes the folder and how its examples are read.

        Args:
            folder: with the splits.
            shape: that examples get.
            background: color behind transparent pixels.
            skip_bad_files: whether files that cannot be read are left out.
            kwargs: TFDS's, such as data_dir.
        """
        self._folder, self._shape = Path(folder).expanduser(), shape
        self._background, self._skips = background, skip_bad_files
        self._found = find_examples(self._folder, self.KIND)
        # Includes the option, so that data without bad files is not used without the option.
        digest = state(self._found.paths, (ImageColor.getrgb(background), skip_bad_files))
        name = f"{'x'.join(map(str, shape))}_{digest}"
        super().__init__(config=tfds.core.BuilderConfig(name=name), **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        name = self.KIND.name
        feature = tfds.features.Tensor(shape=self._shape, dtype=np.uint8, encoding="zlib")
        title = f"{name.capitalize()}s by class."
        return describe(self, title, name, feature, tuple(self._found.paths["train"]))

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        tell_passed_over(self._found.passed_over, self._folder, self.KIND.name)
        files = ExampleFiles(self._found.paths, self._read, skip_bad_files=self._skips)
        return {split: self._generate_examples(files, split) for split in self._found.paths}

    def _generate_examples(
        self, files: ExampleFiles, split: str
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for index, (label, pixels) in enumerate(files.split(split)):
            yield index, {self.KIND.name: pixels, LABEL: label}

    def _read(self, path: Path, damages: list[str] | None) -> np.ndarray:
        return read_pixels(path, self._shape, self._background, damages)


def state(found: Found, options: Any) -> str:
    """Names the state of examples by their paths, sizes and times, and how they are read.

    Reading all of them at every start, to name their contents, would take minutes.
    """
    digest = hashlib.sha256(repr(options).encode())
    for classes in found.values():
        for path in (path for paths in classes.values() for path in paths):
            for file in images_in(path) if path.is_dir() else [path]:
                stat = file.stat()
                digest.update(repr((str(file), stat.st_size, stat.st_mtime_ns)).encode())
    return digest.hexdigest()[:16]
