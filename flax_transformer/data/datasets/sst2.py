"""SST-2: sentences of film reviews, each negative or positive.

Reference: Socher et al. 2013, "Recursive Deep Models for Semantic Compositionality Over a Sentiment
Treebank"; only whole sentences, without their phrases and without the neutral ones.
"""

from typing import Any

from flax_transformer.data.datasets.recipe import TEXT, Recipe, labeled

CLASS_NAMES = ("negative", "positive")
FILES = {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}


def recipe(config: Any) -> Recipe:
    """Makes the recipe of lower-cased, tokenized sentences and their sentiment."""
    return labeled(
        "sst2_sentences",
        "Sentences of film reviews, negative or positive.",
        ("text", TEXT),
        CLASS_NAMES,
        _splits,
        title="SST-2",
        url="https://raw.githubusercontent.com/clairett/pytorch-sentiment-classification/master/data/SST2",
        sha256={
            "train.tsv": "ec192f833a64da08f475488a77b0d0b47db47acd0f458bd18433fc793b569920",
            "dev.tsv": "eddea6b39e601dd4e7a672b53cc40fdf6019fa80522f351206c24340ca5d9359",
            "test.tsv": "831169c7e2e429d6026e1bdbb542f33b636e3e596caad9602ebc953c205928b7",
        },
    )


def _splits(contents: dict[str, bytes]) -> dict[str, tuple[list[str], list[int]]]:
    return {split: parse(contents[name].decode("utf-8")) for split, name in FILES.items()}


def parse(text: str) -> tuple[list[str], list[int]]:
    r"""Returns the sentences and the labels of one of the authors' files.

    Example:
        >>> parse("a fine film\t1\na dull one\t0\n")
        (['a fine film', 'a dull one'], [1, 0])
    """
    rows = [line.rsplit("\t", 1) for line in text.removesuffix("\n").split("\n")]
    return [sentence for sentence, _ in rows], [int(label) for _, label in rows]
