"""Reads trained tokenizers of Hugging Face's library `tokenizers` from a file."""

import os
import warnings
from collections.abc import Iterable
from pathlib import Path

import tokenizers
from tokenizers import models

from flax_transformer.data.tokens.tokenizer import MAX_VOCAB_SIZE, Tokenizer
from flax_transformer.errors import UserError

NUM_TRIED = 1000  # texts of the training split


def adopt_tokenizer(path: str | os.PathLike[str], texts: Iterable[str] = ()) -> Tokenizer:
    """Reads the tokenizer.json of a Hugging Face model.

    Its ids are shifted up by NUM_SPECIAL, after the special ids of this package. Its own special
    tokens, padding, length limit and dropout have no effect. A byte-level tokenizer reproduces
    every text unchanged. Others may change a text, for example to lower case. Then a warning shows
    an example, and a model reads and writes the changed texts.

    Args:
        path: path of the file.
        texts: texts on which the tokenizer is tested.

    Raises:
        UserError: if the file is not a tokenizer, has no token, or cannot encode a text.
    """
    try:
        contents = Path(path).expanduser().read_bytes()
    except OSError as error:
        raise UserError(
            f"cannot read {os.fspath(path)} ({error.strerror}): give the path of a tokenizer.json"
        ) from None
    try:
        subwords = tokenizers.Tokenizer.from_str(contents.decode())
    except Exception as error:  # the library raises no narrower class
        raise UserError(
            f"{os.fspath(path)} is not a Hugging Face tokenizer ({error}): give the tokenizer.json "
            "that save_pretrained of a fast tokenizer writes"
        ) from error
    subwords.no_padding()
    subwords.no_truncation()
    if isinstance(subwords.model, models.BPE):
        subwords.model.dropout = None
    tokenizer = Tokenizer(subwords)
    if not 1 <= subwords.get_vocab_size() <= tokenizer.vocab_size <= MAX_VOCAB_SIZE:
        raise UserError(
            f"{os.fspath(path)} has {subwords.get_vocab_size():,} tokens: give a tokenizer with 1 "
            f"to {MAX_VOCAB_SIZE:,}"
        )
    _warn_of_change(os.fspath(path), tokenizer, list(texts))
    return tokenizer


def _warn_of_change(path: str, tokenizer: Tokenizer, texts: list[str]) -> None:
    back = [tokenizer.decode(ids) for ids in tokenizer.encode_batch(texts)]
    changed = [pair for pair in zip(texts, back, strict=True) if pair[0] != pair[1]]
    if changed:
        before, after = changed[0]
        warnings.warn(
            f"{path} changes {len(changed):,} of {len(texts):,} texts, for example {before!r:.80} "
            f"to {after!r:.80}: the model reads and writes the changed texts",
            stacklevel=3,
        )
