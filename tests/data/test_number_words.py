import dataclasses
import itertools
from typing import Any

import num2words
import pytest

from flax_transformer.data.datasets.datasets import read_pairs
from flax_transformer.data.datasets.number_words import LANGUAGES, SPLIT_SIZES, recipe, speller
from flax_transformer.data.datasets.prepared import builder_of


@pytest.fixture(scope="module")
def splits(number_words) -> dict[str, list[dict]]:
    builder: Any = builder_of(recipe(number_words), number_words)
    return {split: list(builder.as_data_source(split)) for split in SPLIT_SIZES}


def test_splits_have_their_sizes(splits):
    assert {split: len(examples) for split, examples in splits.items()} == SPLIT_SIZES


def test_no_number_stands_in_two_splits_or_twice(splits):
    numbers = [int(example["number"]) for example in itertools.chain(*splits.values())]
    assert len(set(numbers)) == sum(SPLIT_SIZES.values())
    assert set(range(1_000)) <= set(numbers)
    assert 999_000 < max(numbers) < 1_000_000


def test_no_split_lacks_short_numbers(splits):
    for split, size in SPLIT_SIZES.items():
        short = sum(example["number"] < 1_000 for example in splits[split])
        assert 0.5 < short / size * 22 < 1.5  # a 22nd of the numbers drawn


def test_every_language_spells_the_number(splits):
    for example in splits["train"][::1009]:
        for language in LANGUAGES:
            words = num2words.num2words(int(example["number"]), lang=language)
            assert example[language].decode() == words


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_fast_speller_says_what_num2words_says(language):
    numbers = [*range(0, 1_001, 7), *range(0, 1_000_000, 99_991), 999_999]
    spell = speller(language)
    assert [spell(number) for number in numbers] == [
        num2words.num2words(number, lang=language) for number in numbers
    ]


def test_any_two_languages_are_a_task(number_words, splits):
    french = dataclasses.replace(number_words, source_language="fr", target_language="en")
    assert read_pairs(french, "test")[11][:2] == tuple(
        splits["test"][11][language].decode() for language in ("fr", "en")
    )
