"""Tokenizers in the workdirs of models, our own and published ones."""

import base64
import os
import zlib
from pathlib import Path
from typing import Any

from flax_transformer.data.files.limited_files import MAX_BYTES, read_json_object
from flax_transformer.data.tokens.opus_mt_tokenizer import OpusTokenizer
from flax_transformer.data.tokens.published_tokenizer import OfModel, PublishedTokenizer, reported
from flax_transformer.data.tokens.tokenizer import Tokenizer

_KINDS = {kind.kind: kind for kind in (PublishedTokenizer, OpusTokenizer)}
START = b'{"kind": '  # of the file of a published tokenizer
MAX_SAVED_BYTES = 4 * MAX_BYTES  # a translator has two tokenizers and two tables


def load_tokenizer(path: str | os.PathLike[str]) -> Tokenizer:
    """Reads a file that `save` of any tokenizer wrote.

    Raises:
        UserError: if the file is missing or is not a tokenizer.
    """
    path = Path(path)
    if not path.is_file() or not _begins(path, START):
        return Tokenizer.load(path)
    contents = read_json_object(path, MAX_SAVED_BYTES)
    with reported(str(path)):
        model = {name: _frozen(value) for name, value in contents["model"].items()}
        tokenizer = _KINDS[contents["kind"]].from_contents(contents, str(path))
        tokenizer.files = {
            name: zlib.decompressobj().decompress(base64.b64decode(content), MAX_BYTES)
            for name, content in contents.get("files", {}).items()
        }
        return tokenizer.of_model(OfModel(**model))


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _begins(path: Path, start: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(start)) == start
