"""A split of a data set, once it is opened, as every data set gives it."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from flax_transformer.data.files.kept_arrays import Arrays, keep

Record = Mapping[str, Any]


class Pair(NamedTuple):
    """A sentence, its translation, and perhaps further ones."""

    source: str
    target: str
    references: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Split:
    """A split of a data set: its records, which are read whenever they are iterated over.

    A record has, by the config's kind: of pairs source and target, perhaps references (a tuple of
    texts); of a text, text (a string, or its parts in order, cut before line ends); of labeled ones
    label (an integer) and text, image or video (arrays of uint8).

    Attributes:
        name: as it was asked for, such as "train" or "train[:1000]".
        number: of the records; an upper bound where the files say it only when they are read.
        read: gives all records, in order.
        folder: of the prepared data set, where what is made of it is kept.
        digest: of the contents of the data set.
        class_names: in the order of the labels.
        arrays: inputs and labels of all records, where these already lie in files.

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
        """Gives the first records, to look at."""
        return list(itertools.islice(self, number))

    def keep(
        self, kind: str, settings: list[Any], make: Callable[[], Iterable[Arrays]], **options: bool
    ) -> Arrays:
        """Gives what is made of the records, kept in the folder; see `keep`.

        Args:
            kind: of what is made.
            settings: plain data on which it depends, beside the records.
            make: gives it in pieces.
            options: further ones of `keep`.
        """
        return keep(self.folder, [kind, self.name, self.digest, *settings], make, **options)
