"""Rows of letters to copy, reverse or sort: what attention must do at least, without network."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

ORDERS: dict[str, Callable[[list[str]], list[str]]] = {
    "copy": list,
    "reverse": lambda letters: letters[::-1],
    "sort": sorted,
}
LETTERS = "abcdefghijklmnopqrstuvwxyz"
MAX_LENGTH = 16
SPLIT_SIZES = {"train": 10_000, "validation": 500, "test": 500}
SEED = 0


class Letters(tfds.core.GeneratorBasedBuilder):
    """Rows of up to 16 letters, none twice, and the same letters in another order."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, order: str, **kwargs: Any):
        """Takes one of `ORDERS`."""
        self._order = order
        super().__init__(config=tfds.core.BuilderConfig(name=order), **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        text = tfds.features.Text()
        return tfds.core.DatasetInfo(
            builder=self,
            description="Rows of letters and what to make of them.",
            features=tfds.features.FeaturesDict({"source": text, "target": text}),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, str]]]]:
        rows = draw_rows(sum(SPLIT_SIZES.values()))
        ends = np.cumsum([0, *SPLIT_SIZES.values()]).tolist()
        return {
            split: self._generate_examples(rows[start:end])
            for split, start, end in zip(SPLIT_SIZES, ends[:-1], ends[1:], strict=True)
        }

    def _generate_examples(self, rows: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
        for index, row in enumerate(rows):
            ordered = ORDERS[self._order](list(row))
            yield index, {"source": " ".join(row), "target": " ".join(ordered)}


def draw_rows(number: int) -> list[str]:
    """Draws rows of letters, every length as likely, and none twice.

    Example:
        >>> rows = draw_rows(500)
        >>> len(set(rows)), max(map(len, rows))
        (500, 16)
    """
    rng = np.random.default_rng(SEED)
    rows: dict[str, None] = {}
    while len(rows) < number:
        letters = rng.choice(list(LETTERS), rng.integers(1, MAX_LENGTH + 1))
        rows["".join(letters)] = None
    return list(rows)
