"""Labeled texts: which, and how they become tokens."""

import dataclasses
from typing import ClassVar

from flax_transformer.data.data_config import TextConfig


@dataclasses.dataclass(frozen=True)
class LabeledTextConfig(TextConfig):
    """Which labeled texts, and how they become tokens."""

    dataset: str = "sst2"
    """sst2, trec, labeled_text (your own .csv or .tsv files), or a data set of TFDS with one text
    and one label: ag_news_subset."""
    train_file: str | None = None
    """labeled_text: file to train from, with columns text and label."""
    validation_file: str | None = None
    """labeled_text: file to validate on."""
    test_file: str | None = None
    """labeled_text: file to test on; may be left out."""
    batch_size: int = 64
    """Examples of an update, over all devices."""
    vocab_size: int = 8_000
    """Rows of the vocabulary at most; a small training split may give fewer."""
    max_length: int = 64
    """Tokens of a text with its marks; what is longer is cut."""

    kind: ClassVar = "labeled_text"
    PATHS = ("train_file", "validation_file", "test_file")

    @property
    def held_out_split(self) -> str:
        """The split of the final score: validation, where the user's files have no test."""
        without_test = self.dataset == "labeled_text" and self.test_file is None
        return self.validation_split if without_test else self.test_split
