"""Fashion-MNIST: grey images of clothes, in ten classes.

Reference: Xiao et al. 2017, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
Algorithms".
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from flax_transformer.data.datasets.labelled import describe, image_feature, number_examples
from flax_transformer.data.datasets.published import Published, PublishedDataset

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


class FashionMnistIdx(PublishedDataset):
    """28 × 28 images and their classes, from the authors' IDX files."""

    VERSION = tfds.core.Version("1.0.0")
    PUBLISHED: ClassVar = Published(
        title="Fashion-MNIST",
        url="https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
        packed=True,
        sha256={
            FILES["train"][0]: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            FILES["train"][1]: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            FILES["test"][0]: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            FILES["test"][1]: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
    )

    def _info(self) -> tfds.core.DatasetInfo:
        return describe(self, "Images of clothes.", "image", image_feature(28, 28, 1), CLASS_NAMES)

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        contents = self._contents(dl_manager)
        return {
            split: self._generate_examples(*(contents[name] for name in names))
            for split, names in FILES.items()
        }

    def _generate_examples(
        self, images: bytes, labels: bytes
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        return number_examples("image", parse_idx(images)[..., None], parse_idx(labels).tolist())


def parse_idx(contents: bytes) -> np.ndarray:
    r"""Reads an array of bytes in the IDX format.

    After two zeros, the type (8, unsigned bytes) and the number of axes follow the axes' sizes,
    each in four bytes, the highest first, and then the array, the last axis running fastest.

    Example:
        >>> parse_idx(b"\0\0\x08\x02" + b"\0\0\0\x01" + b"\0\0\0\x03" + b"abc")
        array([[97, 98, 99]], dtype=uint8)
    """
    num_axes = contents[3]
    shape = np.frombuffer(contents, ">i4", num_axes, offset=4)
    return np.frombuffer(contents, np.uint8, offset=4 + 4 * num_axes).reshape(shape)
