"""Rows of letters to copy, reverse or sort: a minimal test of attention, without a download."""

from collections.abc import Callable
from typing import Any

import numpy as np

from flax_transformer.data.datasets.recipe import TEXT, Recipe

_ORDERS: dict[str, Callable[[list[str]], list[str]]] = {
    "copy": list,
    "reverse": lambda letters: letters[::-1],
    "sort": sorted,
}
LETTERS = "abcdefghijklmnopqrstuvwxyz"
MAX_LENGTH = 16
SPLIT_SIZES = {"train": 10_000, "validation": 500, "test": 500}
SEED = 0


def recipe(config: Any) -> Recipe:
    """Makes the recipe of distinct rows of up to 16 letters, and their reordered letters."""
    return Recipe(
        "letters",
        "Rows of letters and what to make of them.",
        {"source": TEXT, "target": TEXT},
        lambda _: _splits(_ORDERS[config.dataset]),
        variant=config.dataset,
    )


def _splits(order: Callable[[list[str]], list[str]]) -> dict[str, list[dict[str, str]]]:
    pairs = [
        {"source": " ".join(row), "target": " ".join(order(list(row)))}
        for row in draw_rows(sum(SPLIT_SIZES.values()))
    ]
    ends = np.cumsum([0, *SPLIT_SIZES.values()]).tolist()
    return {
        split: pairs[start:end]
        for split, start, end in zip(SPLIT_SIZES, ends[:-1], ends[1:], strict=True)
    }


def draw_rows(number: int) -> list[str]:
    """Draws distinct rows of letters, with all lengths equally likely.

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
