"""Recipes of data sets that TFDS prepares once: their sources and their examples."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

LABEL = "label"
TEXT = tfds.features.Text()
Examples = Iterable[Mapping[str, Any]]


class Recipe(NamedTuple):
    """The sources of a data set, and how its examples are made.

    Attributes:
        name: name of the folder of the prepared data set.
        description: one sentence.
        features: TFDS's features, by the names of the parts of an example.
        splits: returns the examples of each split, given the contents of the published files.
        variant: folder name of a variant, if there are several.
        title: the authors' name for the data set.
        sha256: hexadecimal digest of each of the authors' files after unpacking, by file name;
            empty for a data set that is generated here.
        url: location of the files: a folder, or a zip archive; None if they cannot be downloaded.
        packed: whether the files at that location are gzipped.
    """

    name: str
    description: str
    features: dict[str, Any]
    splits: Callable[[dict[str, bytes]], Mapping[str, Examples]]
    variant: str | None = None
    title: str = ""
    sha256: Mapping[str, str] = {}
    url: str | None = None
    packed: bool = False


def labeled(
    name: str,
    description: str,
    inputs: tuple[str, Any],
    class_names: Sequence[str],
    splits: Callable[[dict[str, bytes]], Mapping[str, tuple[Iterable[Any], Iterable[Any]]]],
    **published: Any,
) -> Recipe:
    """Makes the recipe of a data set of labeled examples.

    Args:
        name: name of the folder.
        description: one sentence.
        inputs: their name (text, image or video) and their TFDS feature.
        class_names: in the order of the class numbers.
        splits: returns the inputs and the labels (numbers or class names) of each split.
        published: further fields of the recipe, about the authors' files.
    """
    key, feature = inputs

    def examples(contents: dict[str, bytes]) -> dict[str, Examples]:
        return {
            split: ({key: one, LABEL: label} for one, label in zip(*both, strict=True))
            for split, both in splits(contents).items()
        }

    label = tfds.features.ClassLabel(names=list(class_names))
    return Recipe(name, description, {key: feature, LABEL: label}, examples, **published)


def pixels(*shape: int) -> Any:
    """Returns the feature of images or videos of one size, stored as pixels, compressed by zlib.

    TFDS's own Image feature would need TensorFlow to write them.
    """
    return tfds.features.Tensor(shape=shape, dtype=np.uint8, encoding="zlib")
