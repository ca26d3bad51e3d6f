"""The two sides of a pair: empty, identical, or of unlikely lengths."""

import numpy as np
from jaxtyping import Float, Int

from flax_transformer.data.checks.findings import WARNING, Kind

EMPTY = Kind(
    "empty",
    WARNING,
    "a side without text",
    "remove the pairs, or find out whether the files have slipped against each other",
    serious_share=0.05,
)
IDENTICAL = Kind(
    "identical_sides",
    WARNING,
    "source and target are identical",
    "remove them, unless they are names or numbers: a model learns to copy",
    serious_share=0.5,
)
RATIO = Kind(
    "length_ratio",
    WARNING,
    "lengths of the sides that do not fit each other",
    "read some: most are wrong or partial translations",
)
LONG = Kind(
    "long_line",
    WARNING,
    "very long lines",
    "split them into sentences, or leave them out",
)
DEVIATIONS = 8.0  # standard deviations from the middle
FACTOR = 2.0  # and of this factor
MAX_CHARACTERS = {"pair": 2_000, "labeled_text": 20_000, "tagged_words": 20_000, "text": 200_000}


def find_unlikely_lengths(
    source: Int[np.ndarray, " pairs"], target: Int[np.ndarray, " pairs"]
) -> Int[np.ndarray, " found"]:
    """Finds pairs whose lengths do not fit each other, as those of most pairs do.

    delta = (t - c s) / sqrt((c s + t) / 2)

    with the lengths s and t, and c the median of t / s. A pair is unlikely if delta is more than
    DEVIATIONS standard deviations from its median, and t / (c s) or its inverse is above FACTOR.
    The standard deviation is estimated from the median absolute deviation, which a few wrong pairs
    do not change.

    Args:
        source: lengths of the sources in characters; pairs with a length of 0 are left out.
        target: lengths of the targets.

    Returns:
        Indices of the pairs, in order.

    Example:
        >>> lengths = np.full(50, 40)
        >>> find_unlikely_lengths(lengths, np.where(np.arange(50) == 7, 300, lengths)).tolist()
        [7]

    Reference:
        Gale and Church 1993, "A Program for Aligning Sentences in Bilingual Corpora", section 2.
    """
    is_filled = (source > 0) & (target > 0)
    if not is_filled.any():
        return np.zeros(0, np.int64)
    s, t = (side[is_filled].astype(np.float64) for side in (source, target))
    expected = np.median(t / s) * s
    delta = (t - expected) / np.sqrt((expected + t) / 2)
    is_far = np.abs(delta - np.median(delta)) > DEVIATIONS * max(_deviation(delta), 0.25)
    ratio = t / expected
    return np.flatnonzero(is_filled)[is_far & (np.maximum(ratio, 1 / ratio) > FACTOR)]


def _deviation(values: Float[np.ndarray, " n"]) -> float:
    """Estimates the standard deviation of normal values, regardless of outliers."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))
