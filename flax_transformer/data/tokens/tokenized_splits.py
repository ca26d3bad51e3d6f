"""Converts splits of data sets to tokens in files, which are made once and memory-mapped."""

import itertools
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Int32

from flax_transformer.data.batches.examples import Examples, TextInputs
from flax_transformer.data.datasets.datasets import open_split
from flax_transformer.data.datasets.split import Record, Split
from flax_transformer.data.files.kept_arrays import Arrays, Piece
from flax_transformer.data.tokens.adopted_tokenizer import NUM_TRIED, adopt_tokenizer
from flax_transformer.data.tokens.tokenized import (
    CHUNK_SIZE,
    TokenizedPairs,
    TokenizedText,
    join,
    offsets_of,
)
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.errors import UserError, check_number

Stream = Int32[np.ndarray, " total"]
Pieces = Iterator[Piece]
GROUP_SIZE = 4_000_000  # characters of documents that are encoded at one time


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

    def make() -> Pieces:
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

    def make() -> Pieces:
        records = iter(opened)
        yield _chosen_pairs(tokenizer, config.max_length, [])
        while chunk := list(itertools.islice(records, CHUNK_SIZE)):
            yield partial(_chosen_pairs, tokenizer, config.max_length, chunk)

    arrays = opened.keep("pairs", [config.max_length, tokenizer.to_json()], make)
    source, target = (_text(arrays, side) for side in ("source", "target"))
    left_out = int(arrays["left_out"].sum())
    if not len(source.lengths):
        raise UserError(
            f"none of the {left_out} pairs of {split} has two sides of 1 to {config.max_length} "
            "tokens: raise --data.max-length, or look at the files"
        )
    return TokenizedPairs(source, target, left_out)


def _chosen_pairs(tokenizer: Tokenizer, max_length: int, records: list[Record]) -> Arrays:
    """Tokenizes the pairs that have no blank and no too long side, and counts the others."""
    readers = {"source": tokenizer, "target": tokenizer.target}
    texts = {
        side: TokenizedText.encode(reader, [record[side] for record in records])
        for side, reader in readers.items()
    }
    fits = np.maximum(*(text.lengths for text in texts.values())) <= max_length
    written = [all(record[side].strip() for side in readers) for record in records]
    chosen = np.flatnonzero(fits & np.array(written, bool))
    arrays = {"left_out": np.array([len(records) - len(chosen)])}
    for side, text in texts.items():
        arrays |= _part(text.select(chosen), side)
    return arrays


def tokenize_stream(config: Any, tokenizer: Tokenizer, split: str) -> Stream:
    """Tokenizes the documents of a split end to end, with an end mark around each.

    Raises:
        UserError: if the split cannot be opened.
    """
    opened = open_split(config, split)

    def make() -> Pieces:
        for group in _stream_groups(tokenizer, _documents(opened)):
            yield partial(_stream_arrays, tokenizer, group)

    return opened.keep("stream", [tokenizer.to_json()], make)["tokens"]


def encode_stream(tokenizer: Tokenizer, documents: Iterable[str]) -> Stream:
    """Tokenizes documents end to end, with an end mark before and after each."""
    groups = _stream_groups(tokenizer, ([text] for text in documents))
    return np.concatenate([_stream_arrays(tokenizer, group)["tokens"] for group in groups])


def tokenize_lines(config: Any, tokenizer: Tokenizer, split: str) -> TokenizedText:
    """Tokenizes the lines of a split; see `encode_lines`.

    Raises:
        UserError: if the split cannot be opened, or has only blank lines.
    """
    opened = open_split(config, split)

    def make() -> Pieces:
        yield _part(TokenizedText.of([]), "line")
        for chunk in _line_chunks(_documents(opened), config.max_length):
            yield partial(_line_arrays, tokenizer, config.max_length, chunk)

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
    chunks = _line_chunks(([text] for text in documents), max_length)
    texts = (_encode_lines(tokenizer, max_length, chunk) for chunk in chunks)
    return join([TokenizedText.of([]), *texts])


def tokenize_labeled(config: Any, tokenizer: Tokenizer, split: str) -> Examples:
    """Tokenizes a split of labeled texts.

    Raises:
        UserError: if it cannot be opened.
    """
    opened = open_split(config, split)

    def make() -> Pieces:
        records = iter(opened)
        while chunk := list(itertools.islice(records, CHUNK_SIZE)):
            yield partial(_labeled_arrays, tokenizer, chunk)

    arrays = opened.keep("labeled texts", [tokenizer.to_json()], make)
    inputs = TextInputs(_text(arrays, "text"), config.max_length)
    return Examples(inputs, arrays["label"], opened.class_names)


def _labeled_arrays(tokenizer: Tokenizer, records: list[Record]) -> Arrays:
    text = TokenizedText.encode(tokenizer, [record["text"] for record in records], begin=True)
    return _part(text, "text") | {"label": np.array([r["label"] for r in records], np.int32)}


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


def _stream_groups(
    tokenizer: Tokenizer, documents: Iterable[Iterable[str]]
) -> Iterator[list[str | None]]:
    """Yields texts to be tokenized together, with None for each end mark."""
    group: list[str | None] = [None]
    size = 0
    for document in documents:
        for part in document if tokenizer.is_local else ["".join(document)]:
            group.append(part)
            size += len(part)
            if size >= GROUP_SIZE:
                yield group
                group, size = [], 0
        group.append(None)
    yield group


def _stream_arrays(tokenizer: Tokenizer, group: list[str | None]) -> Arrays:
    mark = np.array([tokenizer.eos_id], np.int32)
    parts = [mark if part is None else tokenizer.encode_flat([part])[0] for part in group]
    return {"tokens": np.concatenate(parts)}


def _line_chunks(documents: Iterable[Iterable[str]], max_length: int) -> Iterator[list[str]]:
    check_number("--data.max-length", max_length, 3)
    # A part ends before a line end, so the next part begins with an empty line.
    texts = (line for parts in documents for part in parts for line in part.split("\n"))
    lines = (line.rstrip("\r") for line in texts if line.strip())
    while chunk := list(itertools.islice(lines, CHUNK_SIZE)):
        yield chunk


def _line_arrays(tokenizer: Tokenizer, max_length: int, lines: list[str]) -> Arrays:
    return _part(_encode_lines(tokenizer, max_length, lines), "line")


def _encode_lines(tokenizer: Tokenizer, max_length: int, lines: list[str]) -> TokenizedText:
    size = max_length - 2
    return TokenizedText.of(
        [tokenizer.bos_id, *ids[start : start + size], tokenizer.eos_id]
        for ids in tokenizer.encode_batch(lines)
        for start in range(0, len(ids), size)
    )
