"""Texts for language modeling: the data set, its tokenization, and its batches."""

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar, Literal, get_args

from flax_transformer.data.data_config import TextConfig
from flax_transformer.errors import UserError, unknown

TokenUnit = Literal["subwords", "characters"]


@dataclasses.dataclass(frozen=True)
class PlainTextConfig(TextConfig):
    """The text, its tokenization, and the length of the model's input."""

    dataset: str = "tinyshakespeare"
    """tinyshakespeare, or plain_text: your own file or folder."""
    train_text: str | None = None
    """plain_text: a text file, or a folder in which every .txt file is a document."""
    validation_text: str | None = None
    """plain_text: the same for validation; by default the last tenth of each document."""
    test_split: str = "validation"
    """Held-out split for the final score; these data sets have only a validation split."""
    tokens: TokenUnit = "subwords"
    """Tokens: subwords of a byte-level BPE, or characters."""
    max_length: int = 256
    """Tokens that the model reads at a time, in training and generation."""
    batch_size: int = 32
    """Pieces of max_length tokens in each update, over all devices."""

    kind: ClassVar = "text"
    PUBLISHED_READS = None
    PATHS = ("train_text", "validation_text")
    ENDINGS = (".txt", ".txt.gz")

    def __post_init__(self) -> None:
        if self.tokens not in get_args(TokenUnit):
            raise unknown("--data.tokens", self.tokens, get_args(TokenUnit))
        if self.tokens == "characters" and self.tokenizer is not None:
            raise UserError(
                f"--data.tokenizer {self.tokenizer} is not used with --data.tokens characters: "
                "leave --data.tokenizer out, or give --data.tokens subwords"
            )
        super().__post_init__()

    def smaller_batches(self, batch: Any) -> Iterator[str]:
        """Suggests what to lower if a batch is too large: the update, then the pieces."""
        yield from super().smaller_batches(batch)
        if self.max_length > 2:
            yield f"lower --data.max-length to {self.max_length // 2}"
