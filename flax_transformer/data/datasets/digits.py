"""Handwritten digits of 8 × 8 pixels, out of scikit-learn's package: images without network.

Reference: Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI Machine
Learning Repository; scikit-learn has the 1,797 images of its test set.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from flax_transformer.data.datasets.labelled import describe, image_feature, number_examples
from flax_transformer.errors import UserError

# In the package's order: neighbours may be of one person's hand, which should not be in two splits.
SPLIT_SIZES = {"train": 1_297, "validation": 200, "test": 300}
CLASS_NAMES = tuple("0123456789")


class Digits(tfds.core.GeneratorBasedBuilder):
    """Grey images of digits, their 17 levels spread over 0 to 255."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return describe(self, "Handwritten digits.", "image", image_feature(8, 8, 1), CLASS_NAMES)

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        digits = load()
        images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
        bounds = itertools.pairwise(np.cumsum([0, *SPLIT_SIZES.values()]))
        return {
            split: self._generate_examples(images[start:end], digits.target[start:end])
            for split, (start, end) in zip(SPLIT_SIZES, bounds, strict=True)
        }

    def _generate_examples(
        self, images: np.ndarray, labels: np.ndarray
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        return number_examples("image", images, labels.tolist())


def load() -> Any:
    """Loads scikit-learn's digits.

    Raises:
        UserError: if scikit-learn is not installed, or has other digits.
    """
    try:
        # An extra, which not everyone who checks types has.
        from sklearn.datasets import load_digits  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UserError(
            "digits are part of scikit-learn, which is not installed: give pip install "
            "'flax_transformer[images]', or choose moving_digits."
        ) from None
    digits: Any = load_digits()
    if len(digits.target) != sum(SPLIT_SIZES.values()):
        raise UserError(
            f"scikit-learn has {len(digits.target):,} digits in place of "
            f"{sum(SPLIT_SIZES.values()):,}: install a release such as 1.5."
        )
    return digits
