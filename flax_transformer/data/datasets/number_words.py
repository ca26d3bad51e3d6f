"""Numbers in words, in English, German and French: a real translation task without a download.

German puts the units before the tens ("dreiundzwanzig" is "twenty-three"), so a model must learn
crossing attention.
"""

import copy
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import num2words
import numpy as np

from flax_transformer.data.datasets.recipe import TEXT, Recipe

LANGUAGES = ("en", "de", "fr")
SPLIT_SIZES = {"train": 20_000, "validation": 1_000, "test": 1_000}
# Count of numbers drawn below each bound. A uniform draw below a million has hardly any short
# number, so a model would not learn the numbers that people try first.
DRAWN_BELOW = {1_000: 1_000, 10_000: 3_000, 100_000: 6_000, 1_000_000: 12_000}
SEED = 0


def recipe(config: Any) -> Recipe:
    """Makes the recipe of numbers below a million in words; the splits share no number."""
    return Recipe(
        "number_words",
        "Numbers from 0 to 999,999 in English, German and French words.",
        {"number": np.int64, **dict.fromkeys(LANGUAGES, TEXT)},
        lambda _: _splits(),
    )


def _splits() -> dict[str, Iterator[dict[str, Any]]]:
    rng = np.random.default_rng(SEED)
    bounds = itertools.pairwise([0, *DRAWN_BELOW])
    drawn = [rng.permutation(np.arange(start, stop))[: DRAWN_BELOW[stop]] for start, stop in bounds]
    numbers = rng.permutation(np.concatenate(drawn))
    parts = np.split(numbers, np.cumsum(list(SPLIT_SIZES.values())))[:-1]
    return {split: spell(part) for split, part in zip(SPLIT_SIZES, parts, strict=True)}


def spell(numbers: np.ndarray) -> Iterator[dict[str, Any]]:
    """Yields numbers and their words in every language."""
    spellers = {language: speller(language) for language in LANGUAGES}
    for number in numbers.tolist():
        yield {"number": number} | {name: spell(number) for name, spell in spellers.items()}


def speller(language: str) -> Callable[[int], str]:
    """Returns the function from a number below a million to its words.

    Example:
        >>> speller("de")(23)
        'dreiundzwanzig'
    """
    converter = copy.copy(num2words.CONVERTER_CLASSES[language])
    # num2words goes through its number names from 10^600 down. Without the names above a thousand
    # it spells the same numbers ten times as fast.
    converter.cards = {value: name for value, name in converter.cards.items() if value <= 1000}
    return converter.to_cardinal
