"""Converts splits of data sets to tokens in files, which are made once and memory-mapped."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Int32

from flax_transformer.data.batches.examples import Examples, TextInputs
from flax_transformer.data.datasets.datasets import open_split
from flax_transformer.data.datasets.split import Split
from flax_transformer.data.files.kept_arrays import Arrays
from flax_transformer.data.tokens.adopted_tokenizer import NUM_TRIED, adopt_tokenizer
from flax_transformer.data.tokens.tokenized import (
    CHUNK_SIZE,
    TokenizedPairs,
    TokenizedText,
    encode_parts,
    join,
    offsets_of,
)
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.errors import UserError, check_number

Stream = Int32[np.ndarray, " total"]
Parts = Iterator[dict[str, np.ndarray]]


def make_tokenizer(config: Any, *, by_line: bool = False) -> Tokenizer:
    """Learns the tokens of the training split, or reads those kept with the data set.

    If the config names a tokenizer, that tokenizer is used instead.

    Args:
        config: config of a data set of texts, pairs or labeled texts.
        by_line: whether a text is read line by line, so that line ends are not encoded.
    """
    split = open_split(config, config.train_split)
    if config.tokenizer is not None:
        texts = (text.rstrip("\r\n") if by_line else text for text in _texts(config, split))
        return adopt_tokenizer(config.tokenizer, itertools.islice(texts, NUM_TRIED))

    def make() -> Parts:
        yield {"json": np.frombuffer(_learn(config, split).to_json().encode(), np.uint8)}

    settings = [getattr(config, "tokens", "subwords"), config.vocab_size, config.tokenizer_lines]
    kept = split.keep("tokenizer", settings, make)["json"]
    return Tokenizer.from_json(kept.tobytes().decode())


def tokenize_pairs(config: Any, tokenizer: Tokenizer, split: str) -> TokenizedPairs:
    """Tokenizes a training split, without pairs that have a blank or a too long side.

    Raises:
        UserError: if the split cannot be opened, or no pair is left.
    """
    opened = open_split(config, split)
    sides = "source", "target"

    def make() -> Parts:
        records, number, num_chosen = iter(opened), 0, 0
        while chunk := list(itertools.islice(records, CHUNK_SIZE)):
            texts = [
                TokenizedText.encode(reader, [r[side] for r in chunk])
                for reader, side in zip((tokenizer, tokenizer.target), sides, strict=True)
            ]
            fits = np.maximum(*(text.lengths for text in texts)) <= config.max_length
            written = [bool(r["source"].strip() and r["target"].strip()) for r in chunk]
            chosen = np.flatnonzero(fits & written)
            number, num_chosen = number + len(chunk), num_chosen + len(chosen)
            source, target = (text.select(chosen) for text in texts)
            yield _part(source, "source") | _part(target, "target")
        if not num_chosen:
            raise UserError(
                f"none of the {number} pairs of {split} has two sides of 1 to {config.max_length} "
                "tokens: raise --data.max-length, or look at the files"
            )
        yield {"left_out": np.array([number - num_chosen])}

    arrays = opened.keep("pairs", [config.max_length, tokenizer.to_json()], make)
    source, target = (_text(arrays, side) for side in sides)
    return TokenizedPairs(source, target, int(arrays["left_out"][0]))


def tokenize_stream(config: Any, tokenizer: Tokenizer, split: str) -> Stream:
    """Tokenizes the documents of a split end to end, with an end mark around each.

    Raises:
        UserError: if the split cannot be opened.
    """
    opened = open_split(config, split)

    def make() -> Parts:
        return ({"tokens": part} for part in _stream_parts(tokenizer, _documents(opened)))

    return opened.keep("stream", [tokenizer.to_json()], make)["tokens"]


def encode_stream(tokenizer: Tokenizer, documents: Iterable[str]) -> Stream:
    """Tokenizes documents end to end, with an end mark before and after each."""
    return np.concatenate(list(_stream_parts(tokenizer, ([text] for text in documents))))


def tokenize_lines(config: Any, tokenizer: Tokenizer, split: str) -> TokenizedText:
    """Tokenizes the lines of a split; see `encode_lines`.

    Raises:
        UserError: if the split cannot be opened, or has only blank lines.
    """
    opened = open_split(config, split)

    def make() -> Parts:
        for text in _line_parts(tokenizer, _documents(opened), config.max_length):
            yield _part(text, "line")

    text = _text(opened.keep("lines", [config.max_length, tokenizer.to_json()], make), "line")
    if not len(text.lengths):
        raise UserError(f"the split {split} of {config.dataset} has no line of text: give others")
    return text


def encode_lines(tokenizer: Tokenizer, documents: Iterable[str], max_length: int) -> TokenizedText:
    """Tokenizes the lines of documents, with a begin and an end mark around each.

    A line longer than max_length continues in another row, with marks again. Blank lines are
    skipped.

    Raises:
        UserError: if max_length is too small for a token and its marks.
    """
    return join(_line_parts(tokenizer, ([text] for text in documents), max_length))


def tokenize_labeled(config: Any, tokenizer: Tokenizer, split: str) -> Examples:
    """Tokenizes a split of labeled texts.

    Raises:
        UserError: if it cannot be opened.
    """
    opened = open_split(config, split)

    def make() -> Parts:
        labels: list[int] = []
        texts = (labels.append(record["label"]) or record["text"] for record in opened)
        for text in encode_parts(tokenizer, texts, begin=True):
            yield _part(text, "text") | {"label": np.array(labels, np.int32)}
            labels.clear()

    arrays = opened.keep("labeled texts", [tokenizer.to_json()], make)
    inputs = TextInputs(_text(arrays, "text"), config.max_length)
    return Examples(inputs, arrays["label"], opened.class_names)


def count_bytes(config: Any, split: str) -> int:
    """Counts the UTF-8 bytes of all documents of a split."""
    return sum(
        len(part.encode()) for text in _documents(open_split(config, split)) for part in text
    )


def _part(text: TokenizedText, name: str) -> dict[str, np.ndarray]:
    return {f"{name}_tokens": text.tokens, f"{name}_lengths": text.lengths}


def _text(arrays: Arrays, name: str) -> TokenizedText:
    return TokenizedText(arrays[f"{name}_tokens"], offsets_of(arrays[f"{name}_lengths"]))


def _documents(split: Split) -> Iterator[Iterable[str]]:
    """Yields the documents of a split, each in parts that end between a word and a line end."""
    for record in split:
        yield [record["text"]] if isinstance(record["text"], str) else record["text"]


def _texts(config: Any, split: Split) -> Iterator[str]:
    """Yields all texts of a split for learning a tokenizer; documents are read line by line."""
    if config.kind == "text":
        for document in _documents(split):
            for part in document:
                yield from part.splitlines(keepends=True)
        return
    sides = ("source", "target") if config.kind == "pair" else ("text",)
    for record in itertools.islice(split, 0, None, -(-len(split) // config.tokenizer_lines) or 1):
        yield from (record[side] for side in sides)


def _learn(config: Any, split: Split) -> Tokenizer:
    if getattr(config, "tokens", "subwords") == "characters":
        return Tokenizer.of_characters(part for text in _documents(split) for part in text)
    texts = _texts(config, split)
    if config.kind == "text":
        number = sum(1 for _ in _texts(config, split))
        texts = itertools.islice(texts, 0, None, -(-number // config.tokenizer_lines) or 1)
    return Tokenizer.train(texts, config.vocab_size)


def _stream_parts(tokenizer: Tokenizer, documents: Iterable[Iterable[str]]) -> Iterator[np.ndarray]:
    mark = np.array([tokenizer.eos_id], np.int32)
    yield mark
    for document in documents:
        for part in document if tokenizer.is_local else ["".join(document)]:
            yield tokenizer.encode_flat([part])[0]
        yield mark


def _line_parts(
    tokenizer: Tokenizer, documents: Iterable[Iterable[str]], max_length: int
) -> Iterator[TokenizedText]:
    check_number("--data.max-length", max_length, 3)
    size = max_length - 2
    # A part ends before a line end, so the next part begins with an empty line.
    texts = (line for parts in documents for part in parts for line in part.split("\n"))
    lines = (line.rstrip("\r") for line in texts if line.strip())
    yield TokenizedText.of([])
    while chunk := list(itertools.islice(lines, CHUNK_SIZE)):
        yield TokenizedText.of(
            [tokenizer.bos_id, *ids[start : start + size], tokenizer.eos_id]
            for ids in tokenizer.encode_batch(chunk)
            for start in range(0, len(ids), size)
        )
