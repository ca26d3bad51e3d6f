"""What data sets of labelled examples share: an input and its class, by the class's number."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

LABEL = "label"


def describe(
    builder: Any, description: str, name: str, feature: Any, class_names: Sequence[str]
) -> tfds.core.DatasetInfo:
    """Describes a data set whose examples are an input and a label.

    Args:
        builder: whose data set it is.
        description: one sentence.
        name: of the input: text, image or video.
        feature: TFDS's, of the input.
        class_names: in the order of the classes' numbers.
    """
    label = tfds.features.ClassLabel(names=list(class_names))
    return tfds.core.DatasetInfo(
        builder=builder,
        description=description,
        features=tfds.features.FeaturesDict({name: feature, LABEL: label}),
        disable_shuffling=True,
    )


def image_feature(height: int, width: int, channels: int) -> tfds.features.Tensor:
    """Gives the feature of images of one size, kept as their pixels, 0 to 255, without loss.

    TFDS's own Image would need TensorFlow to write them.
    """
    return tfds.features.Tensor(shape=(height, width, channels), dtype=np.uint8, encoding="zlib")


def number_examples(
    name: str, inputs: Iterable[Any], labels: Iterable[Any]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Joins inputs and their labels, numbers or class names, to examples as TFDS takes them.

    Example:
        >>> list(number_examples("text", ["good"], [1]))
        [(0, {'text': 'good', 'label': 1})]
    """
    for index, (value, label) in enumerate(zip(inputs, labels, strict=True)):
        yield index, {name: value, LABEL: label}
