"""Texts to model: which, how they become one stream of tokens, and how that is read."""

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar, Literal, get_args

from flax_transformer.data.data_config import TextConfig
from flax_transformer.errors import UserError, unknown

TokenUnit = Literal["subwords", "characters"]


@dataclasses.dataclass(frozen=True)
class PlainTextConfig(TextConfig):
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
    max_length: int = 256
    """Tokens that a model reads at a time, in training and when it writes."""
    batch_size: int = 32
    """Pieces of max_length tokens of an update, over all devices."""

    kind: ClassVar = "text"
    PUBLISHED_READS = None
    PATHS = ("train_text", "validation_text")
    ENDINGS = (".txt", ".txt.gz")

    def __post_init__(self) -> None:
        if self.tokens not in get_args(TokenUnit):
            raise unknown("data.tokens", self.tokens, get_args(TokenUnit))
        if self.tokens == "characters" and self.tokenizer is not None:
            raise UserError(
                f"--data.tokenizer {self.tokenizer} is not used with --data.tokens characters: "
                "leave --data.tokenizer out, or give --data.tokens subwords"
            )
        super().__post_init__()

    def smaller_batches(self, batch: Any) -> Iterator[str]:
        """Says what to lower where a batch is too large: an update, then its pieces."""
        yield from super().smaller_batches(batch)
        if self.max_length > 2:
            yield f"lower --data.max-length to {self.max_length // 2}"
