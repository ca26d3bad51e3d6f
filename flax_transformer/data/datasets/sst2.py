"""SST-2: sentences of film reviews, each negative or positive.

Reference: Socher et al. 2013, "Recursive Deep Models for Semantic Compositionality Over a Sentiment
Treebank"; whole sentences without the phrases in them, and none of the neutral ones.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from flax_transformer.data.datasets.labelled import describe, number_examples
from flax_transformer.data.datasets.published import Published, PublishedDataset

CLASS_NAMES = ("negative", "positive")
FILES = {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}


class Sst2Sentences(PublishedDataset):
    """Lower-cased, tokenised sentences and what is felt in them."""

    VERSION = tfds.core.Version("1.0.0")
    PUBLISHED: ClassVar = Published(
        title="SST-2",
        url="https://raw.githubusercontent.com/clairett/pytorch-sentiment-classification/master/data/SST2",
        sha256={
            "train.tsv": "ec192f833a64da08f475488a77b0d0b47db47acd0f458bd18433fc793b569920",
            "dev.tsv": "eddea6b39e601dd4e7a672b53cc40fdf6019fa80522f351206c24340ca5d9359",
            "test.tsv": "831169c7e2e429d6026e1bdbb542f33b636e3e596caad9602ebc953c205928b7",
        },
    )

    def _info(self) -> tfds.core.DatasetInfo:
        description = "Sentences of film reviews, negative or positive."
        return describe(self, description, "text", tfds.features.Text(), CLASS_NAMES)

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        contents = self._contents(dl_manager)
        return {split: self._generate_examples(contents[name]) for split, name in FILES.items()}

    def _generate_examples(self, contents: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
        sentences, labels = parse(contents.decode("utf-8"))
        return number_examples("text", sentences, labels)


def parse(text: str) -> tuple[list[str], list[int]]:
    r"""Gives the sentences and the labels of one of the authors' files.

    Example:
        >>> parse("a fine film\t1\na dull one\t0\n")
        (['a fine film', 'a dull one'], [1, 0])
    """
    rows = [line.rsplit("\t", 1) for line in text.removesuffix("\n").split("\n")]
    return [sentence for sentence, _ in rows], [int(label) for _, label in rows]
