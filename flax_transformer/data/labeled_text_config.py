"""Labeled texts: the data set and its tokenization."""

import dataclasses
from typing import ClassVar

from flax_transformer.data.data_config import TextConfig


@dataclasses.dataclass(frozen=True)
class LabeledTextConfig(TextConfig):
    """The labeled texts and their tokenization."""

    dataset: str = "sst2"
    """sst2, trec, labeled_text (your own .csv or .tsv files), or a data set of TFDS with one text
    and one label, such as ag_news_subset."""
    train_file: str | None = None
    """labeled_text: training file, with columns text and label."""
    validation_file: str | None = None
    """labeled_text: validation file."""
    test_file: str | None = None
    """labeled_text: test file; optional."""
    batch_size: int = 64
    """Examples in each update, over all devices."""
    vocab_size: int = 8_000
    """Maximum size of the vocabulary; a small training split may give a smaller one."""
    max_length: int = 64
    """Maximum tokens of a text, including its marks; longer texts are cut."""

    kind: ClassVar = "labeled_text"
    PATHS = ("train_file", "validation_file", "test_file")

    @property
    def held_out_split(self) -> str:
        """The split of the final score: validation if the user's files have no test split."""
        without_test = self.dataset == "labeled_text" and self.test_file is None
        return self.validation_split if without_test else self.test_split
