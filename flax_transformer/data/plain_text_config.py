"""Texts to model: which, how they become one stream of tokens, and how that is read."""

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar, Literal, get_args

from flax_transformer.data.data_config import DataConfig, check_counts
from flax_transformer.data.datasets.datasets import check_fields
from flax_transformer.data.tokens.tokenizer import MAX_VOCAB_SIZE, MIN_VOCAB_SIZE
from flax_transformer.errors import UserError, check_number, unknown

TokenUnit = Literal["subwords", "characters"]


@dataclasses.dataclass(frozen=True)
class PlainTextConfig(DataConfig):
    """Which text, how it becomes tokens, and how much of it a model reads at a time."""

    dataset: str = "tinyshakespeare"
    """tinyshakespeare, or plain_text: your own file or folder."""
    train_text: str | None = None
    """plain_text: a text file, or a folder of which every .txt file is a document."""
    validation_text: str | None = None
    """plain_text: the same to validate on; the last tenth of each document if not given."""
    test_split: str = "validation"
    """Split that is held out; these data sets have none but the one to validate on."""
    tokens: TokenUnit = "subwords"
    """What a token is: a subword of a byte-level BPE, or a character."""
    vocab_size: int = 10_000
    """Rows of the vocabulary of subwords at most; a small text may give fewer."""
    tokenizer: str | None = None
    """A tokenizer.json of Hugging Face, used instead of training a tokenizer; it also sets the size
    of the vocabulary. It is copied into the workdir."""
    tokenizer_lines: int = 1_000_000
    """Lines of the training split from which the subwords are learned at most; of more, so many
    evenly spread ones are taken."""
    max_length: int = 256
    """Tokens that a model reads at a time, in training and when it writes."""
    batch_size: int = 32
    """Pieces of max_length tokens of an update, over all devices."""

    kind: ClassVar = "text"
    PUBLISHED_READS = None
    PATHS = ("train_text", "validation_text")
    COPIED_PATHS = ("tokenizer",)
    ENDINGS = (".txt", ".txt.gz")

    def __post_init__(self) -> None:
        if self.tokens not in get_args(TokenUnit):
            raise unknown("data.tokens", self.tokens, get_args(TokenUnit))
        if self.tokens == "characters" and self.tokenizer is not None:
            raise UserError(
                f"--data.tokenizer {self.tokenizer} is not used with --data.tokens characters: "
                "leave --data.tokenizer out, or give --data.tokens subwords"
            )
        check_number("data.vocab_size", self.vocab_size, MIN_VOCAB_SIZE, MAX_VOCAB_SIZE)
        check_number("data.tokenizer_lines", self.tokenizer_lines)
        check_counts(self)
        check_number("data.max_length", self.max_length, 2)
        check_number("data.batch_size", self.batch_size)
        check_fields(self)

    def smaller_batches(self, batch: Any) -> Iterator[str]:
        """Says what to lower where a batch is too large: an update, then its pieces."""
        if self.batch_size > 1:
            yield f"lower --data.batch-size to {self.batch_size // 2}"
        if self.max_length > 2:
            yield f"lower --data.max-length to {self.max_length // 2}"
