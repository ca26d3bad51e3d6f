"""A split of a data set, once it is opened, as every data set gives it."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Pair(NamedTuple):
    """A sentence, its translation, and perhaps further ones."""

    source: str
    target: str
    references: tuple[str, ...] = ()


class Records:
    """The records of a split, which are read whenever they are iterated over.

    Args:
        number: of the records; an upper bound where the files say it only when they are read.
        read: gives all of them, in order.

    Example:
        >>> records = Records(2, lambda: iter([{"text": "one"}, {"text": "two"}]))
        >>> len(records), [record["text"] for record in records]
        (2, ['one', 'two'])
    """

    def __init__(self, number: int, read: Callable[[], Iterator[Mapping[str, Any]]]):
        self._number, self._read = number, read

    def __len__(self) -> int:
        return self._number

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return self._read()


@dataclasses.dataclass(frozen=True)
class Split:
    """A split of a data set.

    Attributes:
        name: as it was asked for, such as "train" or "train[:1000]".
        records: by the config's kind: of pairs source and target, perhaps references (a tuple of
            texts); of a text, text (a string, or its parts in order, cut before line ends); of
            labeled ones label (an integer) and text, image or video (arrays of uint8).
        folder: of the prepared data set, where what is made of it is kept.
        digest: of the contents of the data set.
        class_names: in the order of the labels.
        arrays: inputs and labels of all records, where these already lie in files.
    """

    name: str
    records: Records
    folder: Path
    digest: str
    class_names: tuple[str, ...] = ()
    arrays: tuple[np.ndarray, np.ndarray] | None = None

    def first(self, number: int) -> list[Mapping[str, Any]]:
        """Gives the first records, to look at."""
        return list(itertools.islice(self.records, number))

    @property
    def key(self) -> list[str]:
        """Names the contents of the split among those of its folder."""
        return [self.name, self.digest]
