"""Files of SentencePiece models, read without the library sentencepiece."""

import enum
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from flax_transformer.data.files.limited_files import read_limited
from flax_transformer.data.tokens.wire_format import WireFormatError, message_fields
from flax_transformer.errors import UserError

Value = TypeVar("Value", int, float, bytes)
UNIGRAM, BPE = 1, 2  # values of model_type
# Numbers of fields in sentencepiece_model.proto.
PIECES, TRAINER, NORMALIZER = 1, 2, 3
PIECE_TEXT, PIECE_SCORE, PIECE_KIND = 1, 2, 3
MODEL_TYPE, SPACE_AS_SUFFIX, BYTE_FALLBACK = 3, 24, 35
CHARSMAP, DUMMY_PREFIX, REMOVE_SPACES, ESCAPE_SPACES = 2, 3, 4, 5
# Field number of the id of a special token, and the id where the file does not give it.
ROLE_FIELDS = {"unk": (40, 0), "bos": (41, 1), "eos": (42, 2), "pad": (43, -1)}


class PieceKind(enum.IntEnum):
    """Kinds of pieces, as numbered in the file."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


class Piece(NamedTuple):
    """A piece of the vocabulary; its id is its place in the file."""

    text: str
    score: float
    kind: PieceKind


class SentencePieceModel(NamedTuple):
    """A SentencePiece model.

    Attributes:
        pieces: of the vocabulary, by id.
        is_unigram: whether it is a Unigram model, otherwise a BPE model.
        has_byte_fallback: whether bytes spell what the vocabulary cannot write.
        special_ids: ids of the pieces for unk, bos, eos and pad, where there are.
        charsmap: compiled rules that normalize a text; empty: none.
        adds_prefix: whether a text is preceded by a space.
        removes_spaces: whether spaces at both ends and repeated spaces are removed.
        escapes_spaces: whether a space is written as U+2581.
    """

    pieces: list[Piece]
    is_unigram: bool
    has_byte_fallback: bool
    special_ids: dict[str, int]
    charsmap: bytes
    adds_prefix: bool
    removes_spaces: bool
    escapes_spaces: bool

    @classmethod
    def read(cls, path: Path) -> "SentencePieceModel":
        """Reads a file.

        Raises:
            UserError: if the file is not a SentencePiece model, or one of a kind that is not
                supported.
        """
        data = read_limited(path)
        try:
            return _model(data)
        except (WireFormatError, UnicodeDecodeError) as error:
            raise UserError(
                f"{path} is not a SentencePiece model ({error}): restore the file"
            ) from None


def _model(data: bytes) -> SentencePieceModel:
    pieces, trainer, normalizer = [], {}, {}
    for number, value in message_fields(data):
        if number not in (PIECES, TRAINER, NORMALIZER):
            continue
        if not isinstance(value, bytes):
            raise WireFormatError(f"field {number} is not a message")
        if number == PIECES:
            pieces.append(_piece(dict(message_fields(value)), len(pieces)))
        else:
            (trainer if number == TRAINER else normalizer).update(message_fields(value))
    _check(pieces, trainer)
    return SentencePieceModel(
        pieces=pieces,
        is_unigram=_get(trainer, MODEL_TYPE, UNIGRAM) == UNIGRAM,
        has_byte_fallback=bool(_get(trainer, BYTE_FALLBACK, 0)),
        special_ids=_special_ids(pieces, trainer),
        charsmap=_get(normalizer, CHARSMAP, b""),
        adds_prefix=bool(_get(normalizer, DUMMY_PREFIX, 1)),
        removes_spaces=bool(_get(normalizer, REMOVE_SPACES, 1)),
        escapes_spaces=bool(_get(normalizer, ESCAPE_SPACES, 1)),
    )


def _piece(fields: Mapping[int, int | float | bytes], number: int) -> Piece:
    text, score = _get(fields, PIECE_TEXT, b"").decode(), _get(fields, PIECE_SCORE, 0.0)
    kind = _get(fields, PIECE_KIND, int(PieceKind.NORMAL))
    if not text or not math.isfinite(score) or kind not in [*map(int, PieceKind)]:
        raise WireFormatError(f"piece {number} is {text!r:.40} with score {score} and kind {kind}")
    return Piece(text, score, PieceKind(kind))


def _check(pieces: list[Piece], trainer: Mapping[int, int | float | bytes]) -> None:
    kind = _get(trainer, MODEL_TYPE, UNIGRAM)
    if kind not in (UNIGRAM, BPE):
        raise WireFormatError(f"model type {kind} is neither Unigram nor BPE")
    if _get(trainer, SPACE_AS_SUFFIX, 0):
        raise WireFormatError("spaces that end words are not supported")
    if len({piece.text for piece in pieces}) < len(pieces):
        raise WireFormatError("a piece occurs twice")
    unknown = [piece for piece in pieces if piece.kind is PieceKind.UNKNOWN]
    if len(unknown) != 1:
        raise WireFormatError(f"{len(unknown)} unknown pieces instead of 1")


def _special_ids(pieces: list[Piece], trainer: Mapping[int, int | float | bytes]) -> dict[str, int]:
    """Ids of special tokens; an id without a piece of that kind means that there is none."""
    kinds = PieceKind.UNKNOWN, PieceKind.CONTROL
    given = {role: _get(trainer, *field) for role, field in ROLE_FIELDS.items()}
    return {
        role: number
        for role, number in given.items()
        if 0 <= number < len(pieces) and pieces[number].kind in kinds
    }


def _get(fields: Mapping[int, int | float | bytes], number: int, default: Value) -> Value:
    """The value of a field, which has the type of its default."""
    value = fields.get(number, default)
    if not isinstance(value, type(default)):
        raise WireFormatError(f"field {number} has the wrong type")
    return value
