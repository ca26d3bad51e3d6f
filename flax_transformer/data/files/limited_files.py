"""Files of other people: read as a whole, up to a size, and only as plain JSON objects."""

import json
from pathlib import Path
from typing import Any

from flax_transformer.errors import UserError

MAX_BYTES = 64 * 2**20  # the largest published tokenizer.json has 34 million bytes


def read_limited(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Reads a file that has at most max_bytes.

    Raises:
        UserError: if the file cannot be read or is larger.
    """
    try:
        with path.open("rb") as file:
            contents = file.read(max_bytes + 1)
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): restore the file") from None
    if len(contents) > max_bytes:
        raise UserError(f"{path} has more than {max_bytes:,} bytes: give a smaller file")
    return contents


def read_limited_text(path: Path, max_bytes: int = MAX_BYTES) -> str:
    """Reads a UTF-8 file that has at most max_bytes; line ends stay as they are.

    Raises:
        UserError: if the file cannot be read, is larger, or is not UTF-8.
    """
    try:
        return read_limited(path, max_bytes).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start:,}): restore the file") from None


def read_json_object(path: Path, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """Reads a file that holds one JSON object.

    Raises:
        UserError: if the file cannot be read, is larger than max_bytes, or holds anything else.
    """
    text = read_limited_text(path, max_bytes)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON ({error}): restore the file") from None
    if not isinstance(found, dict):
        raise UserError(f"{path} holds {text.strip()[:20]!r} instead of a JSON object: restore it")
    return found
