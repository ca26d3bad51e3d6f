"""Fashion-MNIST: gray images of clothes, in ten classes.

Reference: Xiao et al. 2017, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
Algorithms".
"""

from typing import Any

import numpy as np

from flax_transformer.data.datasets.recipe import Recipe, labeled, pixels

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


def recipe(config: Any) -> Recipe:
    """Makes the recipe of 28 × 28 pixel images and their classes, from the authors' IDX files."""
    return labeled(
        "fashion_mnist_idx",
        "Images of clothes.",
        ("image", pixels(28, 28, 1)),
        CLASS_NAMES,
        _splits,
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


def _splits(contents: dict[str, bytes]) -> dict[str, tuple[np.ndarray, list[int]]]:
    return {
        split: (parse_idx(contents[images])[..., None], parse_idx(contents[labels]).tolist())
        for split, (images, labels) in FILES.items()
    }


def parse_idx(contents: bytes) -> np.ndarray:
    r"""Reads an array of bytes in the IDX format.

    The file contains two zero bytes, the type (8, unsigned bytes), the number of axes, their sizes
    as four-byte big-endian integers, and the array with the last axis running fastest.

    Example:
        >>> parse_idx(b"\0\0\x08\x02" + b"\0\0\0\x01" + b"\0\0\0\x03" + b"abc")
        array([[97, 98, 99]], dtype=uint8)
    """
    num_axes = contents[3]
    shape = np.frombuffer(contents, ">i4", num_axes, offset=4)
    return np.frombuffer(contents, np.uint8, offset=4 + 4 * num_axes).reshape(shape)
