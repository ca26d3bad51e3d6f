"""Handwritten digits of 8 × 8 pixels from the scikit-learn package: images without a download.

Reference: Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI Machine
Learning Repository; scikit-learn has the 1,797 images of its test set.
"""

import itertools
from typing import Any

import numpy as np

from flax_transformer.data.datasets.recipe import Recipe, labeled, pixels
from flax_transformer.errors import UserError

# In the package's order: adjacent digits may have the same writer, who should be in one split only.
SPLIT_SIZES = {"train": 1_297, "validation": 200, "test": 300}
CLASS_NAMES = tuple("0123456789")


def recipe(config: Any) -> Recipe:
    """Makes the recipe of gray images of digits, their 17 levels scaled to 0 to 255."""
    return labeled(
        "digits",
        "Handwritten digits.",
        ("image", pixels(8, 8, 1)),
        CLASS_NAMES,
        lambda _: _splits(),
    )


def _splits() -> dict[str, tuple[np.ndarray, list[int]]]:
    digits = load()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    bounds = itertools.pairwise(np.cumsum([0, *SPLIT_SIZES.values()]))
    return {
        split: (images[start:end], digits.target[start:end].tolist())
        for split, (start, end) in zip(SPLIT_SIZES, bounds, strict=True)
    }


def load() -> Any:
    """Loads scikit-learn's digits.

    Raises:
        UserError: if scikit-learn is not installed, or contains other digits.
    """
    try:
        # An optional dependency that a type checker may not find.
        from sklearn.datasets import load_digits  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UserError(
            "digits are part of scikit-learn, which is not installed: run pip install "
            "'flax_transformer[images]', or choose --data.dataset moving_digits"
        ) from None
    digits: Any = load_digits()
    if len(digits.target) != sum(SPLIT_SIZES.values()):
        raise UserError(
            f"scikit-learn has {len(digits.target):,} digits instead of "
            f"{sum(SPLIT_SIZES.values()):,}: install a release such as 1.5"
        )
    return digits
