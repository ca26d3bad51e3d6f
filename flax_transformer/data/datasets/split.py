"""An opened split of a data set; all data sets return this class."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from flax_transformer.data.files.kept_arrays import Arrays, Piece, keep

Record = Mapping[str, Any]


class Pair(NamedTuple):
    """A sentence, its translation, and optional further translations."""

    source: str
    target: str
    references: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Split:
    """A split of a data set; its records are read at every iteration.

    The fields of a record depend on the config's kind. Pairs have source and target, and optional
    references (a tuple of texts). Texts have text (a string, or its parts in order, cut before line
    ends). Labeled examples have label (an integer) and text, image or video (arrays of uint8).

    Attributes:
        name: the requested name, such as "train" or "train[:1000]".
        number: number of records; an upper bound if the exact number is known only after reading.
        read: returns all records, in order.
        folder: folder of the prepared data set, for everything derived from it.
        digest: digest of the contents of the data set.
        class_names: in the order of the labels.
        arrays: inputs and labels of all records, if they are already in files.

    Example:
        >>> read = lambda: iter([{"text": "one"}, {"text": "two"}])
        >>> split = Split("train", 2, read, Path(), "digest")
        >>> len(split), [record["text"] for record in split]
        (2, ['one', 'two'])
    """

    name: str
    number: int
    read: Callable[[], Iterator[Record]]
    folder: Path
    digest: str
    class_names: tuple[str, ...] = ()
    arrays: tuple[np.ndarray, np.ndarray] | None = None

    def __len__(self) -> int:
        return self.number

    def __iter__(self) -> Iterator[Record]:
        return self.read()

    def first(self, number: int) -> list[Record]:
        """Returns the first records, for inspection."""
        return list(itertools.islice(self, number))

    def keep(
        self, kind: str, settings: list[Any], make: Callable[[], Iterable[Piece]], **options: bool
    ) -> Arrays:
        """Returns what is derived from the records, kept in the folder; see `keep`.

        Args:
            kind: kind of the derived data.
            settings: plain data that, in addition to the records, determines the derived data.
            make: returns the derived data in pieces; a piece may be a function that makes it.
            options: further options of `keep`.
        """
        return keep(self.folder, [kind, self.name, self.digest, *settings], make, **options)
