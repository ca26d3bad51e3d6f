"""CIFAR-10 as JPEG: small color images in ten classes, a tenth of the original's size.

The images were compressed as JPEG (quality 75, halved chroma), so accuracies are not strictly
comparable with published ones.

Reference: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images".
"""

import io
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from flax_transformer.data.datasets.recipe import Recipe, labeled, pixels

CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
FILES = {"train": "cifar10_train_jpeg.npz", "test": "cifar10_test_jpeg.npz"}


def recipe(config: Any) -> Recipe:
    """Makes the recipe of images of 32 × 32 pixels, decoded once in file order, and classes.

    Each NumPy file contains `jpeg` (all images, concatenated), `offsets` (the start of each image
    and the end of the last one), and `labels`.
    """
    return labeled(
        "cifar10_jpeg",
        "Small images of animals and vehicles.",
        ("image", pixels(32, 32, 3)),
        CLASS_NAMES,
        _splits,
        title="CIFAR-10 as JPEG",
        url=None,
        sha256={
            FILES["train"]: "63ff08aa0c456f055546c6a2e12098ec11c79b45e0b4090697ef73cdffe8f5c0",
            FILES["test"]: "c2eb4fcddf72b133d8d253c5b5e8b2dc25229cb86699163a79a2d4cf06032588",
        },
    )


def _splits(contents: dict[str, bytes]) -> dict[str, tuple[Iterator[np.ndarray], list[int]]]:
    return {split: parse(contents[name]) for split, name in FILES.items()}


def parse(contents: bytes) -> tuple[Iterator[np.ndarray], list[int]]:
    """Returns the images, decoded one by one, and the labels of one of the files."""
    arrays = np.load(io.BytesIO(contents))
    jpeg, ends = arrays["jpeg"].tobytes(), arrays["offsets"]
    parts = (jpeg[start:end] for start, end in itertools.pairwise(ends))
    return (np.asarray(Image.open(io.BytesIO(part))) for part in parts), arrays["labels"].tolist()
