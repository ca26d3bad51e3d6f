"""Data sets that TFDS prepares once: what they are made of, and what their examples are."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

LABEL = "label"
TEXT = tfds.features.Text()
Examples = Iterable[Mapping[str, Any]]


class Recipe(NamedTuple):
    """Of what a data set is made, and how.

    Attributes:
        name: of the folder of the prepared data set.
        description: one sentence.
        features: TFDS's, by the names of the parts of an example.
        splits: gives the examples of each split, of the contents of the published files.
        variant: name of the folder of one of several variants.
        title: the data set as its authors call it.
        sha256: of each of the authors' files by its name, once unpacked, in hexadecimal digits; no
            file of a data set that is made here.
        url: where the files are: a folder of them, or a zip archive; None where they are nowhere.
        packed: whether each file of the folder is gzipped there.
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
    """Makes the recipe of labeled examples.

    Args:
        name: of the folder.
        description: one sentence.
        inputs: their name (text, image or video) and TFDS's feature of them.
        class_names: in the order of the classes' numbers.
        splits: gives the inputs and the labels, numbers or class names, of each split.
        published: further fields of the recipe, of the authors' files.
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
    """Gives the feature of images or videos of one size, kept as their pixels, without loss.

    TFDS's own Image would need TensorFlow to write them.
    """
    return tfds.features.Tensor(shape=shape, dtype=np.uint8, encoding="zlib")
