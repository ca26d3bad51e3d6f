"""Tokenizer of the folder of a published model, whatever its files are."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import tokenizers

from flax_transformer.data.files.gguf_file import SUFFIX, read_gguf
from flax_transformer.data.files.limited_files import (
    read_json_object,
    read_limited,
    read_limited_text,
)
from flax_transformer.data.tokens import (
    byte_level_files,
    gguf_tokenizer,
    opus_mt_files,
    word_piece_files,
)
from flax_transformer.data.tokens.gguf_tokenizer import read_gguf_tokenizer
from flax_transformer.data.tokens.published_tokenizer import PublishedTokenizer, subwords_of_json
from flax_transformer.data.tokens.sentencepiece_files import MODELS, read_sentencepiece
from flax_transformer.data.tokens.special_ids import SpecialIds
from flax_transformer.data.tokens.special_tokens import CONFIG as TOKENIZER_CONFIG
from flax_transformer.data.tokens.special_tokens import WHOLE, SpecialTokens
from flax_transformer.errors import UserError

CHAT_TEMPLATE, LARGEST_TEMPLATE = "chat_template.jinja", 1_000_000  # bytes
OPUS_MT = (opus_mt_files.SOURCE, opus_mt_files.TARGET, opus_mt_files.VOCAB)
Read = Callable[[Path, SpecialTokens], tuple[tokenizers.Tokenizer, SpecialIds]]


class FoundTokenizer(NamedTuple):
    """A tokenizer, and the names of the files that it was read from."""

    tokenizer: PublishedTokenizer
    files: list[str]


def read_published_tokenizer(folder: str | os.PathLike[str]) -> FoundTokenizer:
    """Reads the tokenizer of a published model; all ids stay as they are.

    The files are, in this order: tokenizer.json; source.spm, target.spm and vocab.json of
    OPUS-MT; vocab.json and merges.txt of GPT-2, RoBERTa and BART; a SentencePiece model of T5,
    Llama, Gemma or Pegasus; vocab.txt of BERT. tokenizer_config.json, special_tokens_map.json and
    added_tokens.json give special tokens. No other file is read, and no code is run.

    Args:
        folder: of the model; or a GGUF file.

    Raises:
        UserError: if files are missing, damaged, larger than 64 MiB, or of another kind.
    """
    folder = Path(folder).expanduser()
    if folder.suffix == SUFFIX and folder.is_file():
        return FoundTokenizer(read_gguf_tokenizer(folder), [folder.name])
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: give the folder of a published model")
    is_there = {path.name for path in folder.iterdir()}
    tokens = SpecialTokens.read(folder)
    for names, read in _READERS:
        if is_there.issuperset(names):
            tokenizer, files = read(folder, tokens), [*names, *tokens.files]
            files += [CHAT_TEMPLATE] * (CHAT_TEMPLATE in is_there)
            tokenizer.files = {name: read_limited(folder / name) for name in files}
            return FoundTokenizer(tokenizer, files)
    kinds = " or ".join(" + ".join(names) for names, _ in _READERS)
    raise UserError(f"{folder} has no tokenizer: it needs {kinds}")


def read_chat_template(folder: Path) -> str:
    """Reads the chat template of a published folder or GGUF file; "" without one.

    It is chat_template.jinja, or in tokenizer_config.json, as a text or as a list of named texts,
    of which the one named default is read.

    Raises:
        UserError: if it is of another kind.
    """
    if folder.suffix == SUFFIX and folder.is_file():
        return read_gguf(folder).field(gguf_tokenizer.CHAT_TEMPLATE, str) or ""
    if (folder / CHAT_TEMPLATE).is_file():
        return read_limited_text(folder / CHAT_TEMPLATE, LARGEST_TEMPLATE)
    path = folder / TOKENIZER_CONFIG
    given = read_json_object(path).get("chat_template") if path.is_file() else None
    if isinstance(given, list) and all(isinstance(one, dict) for one in given):
        given = {one.get("name"): one.get("template") for one in given}.get("default")
    if given is not None and not isinstance(given, str):
        raise UserError(f"{path} has a chat_template {given!r:.60}: give a text")
    return given or ""


def _read_whole(folder: Path, tokens: SpecialTokens) -> tuple[tokenizers.Tokenizer, SpecialIds]:
    path = folder / WHOLE
    subwords = subwords_of_json(read_limited_text(path), str(path))
    return subwords, tokens.add_to(subwords, str(path))


def _plain(read: Read) -> Callable[[Path, SpecialTokens], PublishedTokenizer]:
    def made(folder: Path, tokens: SpecialTokens) -> PublishedTokenizer:
        splits_special = bool(tokens.flag("split_special_tokens", False))
        return PublishedTokenizer(
            *read(folder, tokens), source=str(folder), splits_special=splits_special
        )

    return made


def _model(name: str) -> Read:
    return lambda folder, tokens: read_sentencepiece(folder / name, tokens)


_READERS = [
    ((WHOLE,), _plain(_read_whole)),
    (OPUS_MT, opus_mt_files.read_opus_mt),
    (
        (byte_level_files.VOCAB, byte_level_files.MERGES),
        _plain(byte_level_files.read_byte_level),
    ),
    *(((name,), _plain(_model(name))) for name in MODELS),
    ((word_piece_files.VOCAB,), _plain(word_piece_files.read_word_pieces)),
]
