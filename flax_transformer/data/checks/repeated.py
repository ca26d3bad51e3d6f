"""Repeated examples, within a part of the data and between two parts, by hashes."""

import functools
import sys
import unicodedata

import numpy as np
from jaxtyping import Int

from flax_transformer.data.checks.findings import NOTE, WARNING, Kind

DUPLICATE = Kind(
    "duplicate",
    WARNING,
    "exact repetitions of an earlier example",
    "keep one of each, unless their frequency matters",
)
SEVERAL_TARGETS = Kind(
    "several_targets",
    NOTE,
    "sources that occur earlier with another target",
    "nothing for training; in a test set, give them as several references",
)
SEVERAL_CLASSES = Kind(
    "several_classes",
    WARNING,
    "texts that occur earlier with another class or other tags",
    "decide which is right",
)
OVERLAP = Kind(
    "overlap",
    WARNING,
    "examples that are also in train",
    "remove them from train: a model that has seen them scores too well",
    serious_share=0.01,
)
OVERLAP_NORMALIZED = Kind(
    "overlap_normalized",
    WARNING,
    "examples that are also in train, except for case, space and punctuation",
    "remove them from train: a model that has seen them scores too well",
    serious_share=0.05,
)
OVERLAP_SOURCE = Kind(
    "overlap_source",
    WARNING,
    "sources that are also in train, with another target or class",
    "remove them from train, if the scores are to show unseen texts",
)

_Hashes = Int[np.ndarray, " examples"]
_Indices = Int[np.ndarray, " found"]


def find_repeats(hashes: _Hashes) -> tuple[_Indices, _Indices]:
    """Finds the examples that repeat an earlier one.

    Returns:
        Their indices in order, and the index of the first equal example of each.

    Example:
        >>> later, first = find_repeats(np.array([7, 3, 7, 3, 7]))
        >>> later.tolist(), first.tolist()
        ([2, 3, 4], [0, 1, 0])
    """
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    earlier = first[inverse]
    later = np.flatnonzero(earlier < np.arange(len(hashes)))
    return later, earlier[later]


def find_other_versions(keys: _Hashes, wholes: _Hashes) -> tuple[_Indices, _Indices]:
    """Finds the examples whose key occurs earlier, in an example that is otherwise different.

    Args:
        keys: hashes of the sources.
        wholes: hashes of sources with targets.

    Returns:
        As `find_repeats`; exact repetitions count once.

    Example:
        >>> later, first = find_other_versions(np.array([1, 1, 1, 2]), np.array([5, 5, 6, 7]))
        >>> later.tolist(), first.tolist()
        ([2], [0])
    """
    _, distinct = np.unique(wholes, return_index=True)
    distinct.sort()
    later, first = find_repeats(keys[distinct])
    return distinct[later], distinct[first]


def find_common(train: Int[np.ndarray, " trained"], others: _Hashes) -> tuple[_Indices, _Indices]:
    """Finds the examples of another part that are also in train.

    Returns:
        Their indices in the other part in order, and the index of each in train.

    Example:
        >>> found, there = find_common(np.array([4, 9, 4]), np.array([1, 4]))
        >>> found.tolist(), there.tolist()
        ([1], [0])
    """
    if not len(train):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    values, first = np.unique(train, return_index=True)
    places = np.minimum(np.searchsorted(values, others), len(values) - 1)
    found = np.flatnonzero(values[places] == others)
    return found, first[places[found]]


def normalize(text: str) -> str:
    """Returns a text without differences of case, space and punctuation.

    Example:
        >>> normalize("Well,  he's HERE!"), normalize("Straße.")
        ('well hes here', 'strasse')
    """
    composed = unicodedata.normalize("NFC", text).casefold()
    return " ".join(composed.translate(_punctuation()).split())


@functools.cache
def _punctuation() -> dict[int, None]:
    codes = range(sys.maxunicode + 1)
    return {code: None for code in codes if unicodedata.category(chr(code)).startswith("P")}
