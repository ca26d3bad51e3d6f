"""Labeled texts: which, and how they become tokens."""

import dataclasses
from typing import ClassVar

from flax_transformer.data.data_config import LabeledConfig
from flax_transformer.data.datasets.datasets import check_fields
from flax_transformer.data.tokens.tokenizer import MAX_VOCAB_SIZE, MIN_VOCAB_SIZE
from flax_transformer.errors import check_number


@dataclasses.dataclass(frozen=True)
class LabeledTextConfig(LabeledConfig):
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
    vocab_size: int = 8_000
    """Rows of the vocabulary at most; a small training split may give fewer."""
    tokenizer: str | None = None
    """A tokenizer.json of Hugging Face, used instead of training a tokenizer; it also sets the size
    of the vocabulary. It is copied into the workdir."""
    tokenizer_lines: int = 1_000_000
    """Texts of the training split from which the subwords are learned at most; of more, so many
    evenly spread ones are taken."""
    max_length: int = 64
    """Tokens of a text with its marks; what is longer is cut."""

    kind: ClassVar = "labeled_text"
    PATHS = ("train_file", "validation_file", "test_file")
    COPIED_PATHS = ("tokenizer",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("data.vocab_size", self.vocab_size, MIN_VOCAB_SIZE, MAX_VOCAB_SIZE)
        check_number("data.tokenizer_lines", self.tokenizer_lines)
        check_number("data.max_length", self.max_length, 2)
        check_fields(self)

    @property
    def held_out_split(self) -> str:
        """The split of the final score: validation, where the user's files have no test."""
        without_test = self.dataset == "labeled_text" and self.test_file is None
        return self.validation_split if without_test else self.test_split
