"""A prepared split as a sequence of sentence pairs."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

from flax_transformer.data.files.records import read_records

READ_SIZE = 4096  # pairs held in memory while iterating


class Pair(NamedTuple):
    """A sentence and its translation."""

    source: str
    target: str


class ParallelText(Sequence[Pair]):
    """A prepared split: random access to its pairs, read from disk and decoded when asked for.

    Args:
        records: of the split.
        source_key: feature of a source.
        target_key: feature of its translation.
        folder: where the data set lies.
        references_key: feature of further translations, if there is one.

    Attributes:
        folder: where the data set lies.
    """

    def __init__(
        self,
        records: Any,
        source_key: str,
        target_key: str,
        folder: Path,
        references_key: str | None = None,
    ):
        self.folder = folder
        self._records = records
        self._keys = source_key, target_key
        self._references_key = references_key

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        if isinstance(index, slice):
            records = read_records(self._records, range(len(self))[index])
            return [self._pair(record) for record in records]
        return self._pair(self._records[range(len(self))[index]])

    def __iter__(self) -> Iterator[Pair]:
        for start in range(0, len(self), READ_SIZE):
            yield from self[start : start + READ_SIZE]

    def references(self) -> list[tuple[str, ...]]:
        """Gives the further translations of each pair; an empty list if no pair has any."""
        if self._references_key is None:
            return []
        records = read_records(self._records, range(len(self)))
        return [tuple(map(_text, record[self._references_key])) for record in records]

    def _pair(self, record: Mapping[str, Any]) -> Pair:
        source, target = self._keys
        return Pair(_text(record[source]), _text(record[target]))


def _text(value: bytes | str) -> str:
    # TFDS gives bytes, but its `mock_data` gives text.
    return value.decode() if isinstance(value, bytes) else value
