"""Texts to model: which, how they become one stream of tokens, and how that is read."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Int32

from flax_transformer.data.data_config import DataConfig, check_counts
from flax_transformer.data.datasets.catalogue import TEXTS, check_entry, open_split
from flax_transformer.data.tokens.adopted_tokenizer import NUM_TRIED, adopt_tokenizer
from flax_transformer.data.tokens.kept_tokens import Kept
from flax_transformer.data.tokens.tokenized import TokenizedText
from flax_transformer.data.tokens.tokenizer import (
    BOS,
    EOS,
    MAX_VOCAB_SIZE,
    MIN_VOCAB_SIZE,
    Tokenizer,
)
from flax_transformer.errors import UserError, check_number, unknown

TokenUnit = Literal["subwords", "characters"]
Stream = Int32[np.ndarray, " total"]


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
    max_length: int = 256
    """Tokens that a model reads at a time, in training and when it writes."""
    batch_size: int = 32
    """Pieces of max_length tokens of an update, over all devices."""

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
        check_counts(self)
        check_number("data.max_length", self.max_length, 2)
        check_number("data.batch_size", self.batch_size)
        check_entry(self, TEXTS)

    def smaller_batches(self, batch: Any) -> Iterator[str]:
        """Says what to lower where a batch is too large: an update, then its pieces."""
        if self.batch_size > 1:
            yield f"lower --data.batch-size to {self.batch_size // 2}"
        if self.max_length > 2:
            yield f"lower --data.max-length to {self.max_length // 2}"


def prepare_stream(config: PlainTextConfig, path: Path) -> tuple[Tokenizer, Stream]:
    """Gives the tokenizer and the stream of the training split.

    The tokenizer is the one at path; if there is none yet, one made of the split. It and the tokens
    are kept with the data set.

    Raises:
        UserError: if the file is no tokenizer, or the split cannot be opened.
    """
    tokenizer = Tokenizer.load(path) if path.exists() else make_tokenizer(config)
    return tokenizer, read_stream(config, tokenizer, config.train_split)


def make_tokenizer(config: PlainTextConfig, *, by_line: bool = False) -> Tokenizer:
    """Learns the tokens of the training split, or reads those kept with the data set.

    If the config names a tokenizer, that one is used instead.

    Args:
        config: names the split.
        by_line: whether the text is read line by line, so that line ends are not encoded.
    """
    split = _open(config, config.train_split)
    if config.tokenizer is not None:
        lines = (line.rstrip("\r\n") if by_line else line for line in _lines(split))
        return adopt_tokenizer(config.tokenizer, itertools.islice(lines, NUM_TRIED))
    return Kept(split.folder).tokenizer(
        ["text tokenizer", config.train_split, config.tokens, config.vocab_size],
        lambda: _tokenizer_of(config, split),
    )


def read_stream(config: PlainTextConfig, tokenizer: Tokenizer, split: str) -> Stream:
    """Tokenises the documents of a split end to end, with an end mark around each of them.

    Raises:
        UserError: if the split cannot be opened.
    """
    opened = _open(config, split)

    def make() -> dict[str, np.ndarray]:
        return {"tokens": encode_stream(tokenizer, _documents(opened))}

    key = ["stream", split, tokenizer.to_json()]
    return Kept(opened.folder).arrays(key, ["tokens"], make)["tokens"]


def encode_stream(tokenizer: Tokenizer, documents: Iterable[str]) -> Stream:
    """Tokenises documents end to end, with an end mark before and after each."""
    ids = [EOS]
    for document in documents:
        ids.extend(tokenizer.encode(document))
        ids.append(EOS)
    return np.array(ids, np.int32)


def read_lines(config: PlainTextConfig, tokenizer: Tokenizer, split: str) -> TokenizedText:
    """Tokenises the lines of a split; see `encode_lines`.

    Raises:
        UserError: if the split cannot be opened, or has blank lines alone.
    """
    opened = _open(config, split)

    def make() -> dict[str, np.ndarray]:
        return encode_lines(tokenizer, _documents(opened), config.max_length)._asdict()

    key = ["lines", split, config.max_length, tokenizer.to_json()]
    text = TokenizedText(**Kept(opened.folder).arrays(key, TokenizedText._fields, make))
    if not len(text.lengths):
        raise UserError(f"the split {split} of {config.dataset} has no line of text: give others")
    return text


def encode_lines(tokenizer: Tokenizer, documents: Iterable[str], max_length: int) -> TokenizedText:
    """Tokenises the lines of documents, each with a begin and an end mark around it.

    A line that would be longer than max_length goes on in a row of its own, with marks again. Blank
    lines are left out.

    Raises:
        UserError: if max_length is too small for a token and its marks.
    """
    check_number("data.max_length", max_length, 3)
    size = max_length - 2
    lines = [line for text in documents for line in text.split("\n") if line.strip()]
    return TokenizedText.of(
        [BOS, *ids[start : start + size], EOS]
        for ids in tokenizer.encode_batch([line.rstrip("\r") for line in lines])
        for start in range(0, len(ids), size)
    )


def count_bytes(config: PlainTextConfig, split: str) -> int:
    """Counts the bytes of UTF-8 of all documents of a split."""
    return sum(len(document.encode()) for document in _documents(_open(config, split)))


def _open(config: PlainTextConfig, split: str) -> Any:
    if config.dataset == "plain_text" and config.train_text is None:
        raise UserError("plain_text needs --data.train-text: give a text file or a folder of them.")
    if config.dataset not in TEXTS:
        raise unknown("data set of text", config.dataset, TEXTS)
    return open_split(config, TEXTS, split)


def _documents(split: Any) -> Iterator[str]:
    return (record["text"].decode() for record in split.records)


def _lines(split: Any) -> Iterator[str]:
    return (line for text in _documents(split) for line in text.splitlines(keepends=True))


def _tokenizer_of(config: PlainTextConfig, split: Any) -> Tokenizer:
    if config.tokens == "characters":
        return Tokenizer.of_characters(_documents(split))
    return Tokenizer.train(_lines(split), config.vocab_size)
