"""Tokenizers of OPUS-MT translators: a SentencePiece model for each language, and one table."""

import base64
import dataclasses
import functools
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NamedTuple, SupportsIndex

import tokenizers

from flax_transformer.data.tokens.character_rules import CharacterRules
from flax_transformer.data.tokens.published_tokenizer import (
    PublishedTokenizer,
    reported,
    subwords_of_json,
)
from flax_transformer.data.tokens.special_ids import SpecialIds

# Before a text: the language to translate it to.
LANGUAGE = re.compile(">>.*?<<", re.DOTALL)


class Side(NamedTuple):
    """What reads the texts of one language.

    Attributes:
        pieces: cuts a normalized text into pieces; its ids are not used.
        charsmap: compiled rules that normalize a text.
        table: the ids of the pieces.
        special: ids of the special tokens.
    """

    pieces: tokenizers.Tokenizer
    charsmap: bytes
    table: tokenizers.Tokenizer
    special: SpecialIds


class OpusTokenizer(PublishedTokenizer):
    """Converts text to the ids of an OPUS-MT translator, and ids to text.

    A SentencePiece model cuts a text into pieces, whose ids are in a table. A language mark before
    a text, such as >>fra<<, is one piece. `target` reads the texts of the other language.

    Args:
        side: of the texts that the translator reads.
        target: of the texts that it writes; None: the same.
        source: name of the files, for error messages.

    Reference: Tiedemann and Thottingal 2020, "OPUS-MT"; Junczys-Dowmunt et al. 2018, "Marian".
    """

    kind: ClassVar = "opus_mt"

    def __init__(self, side: Side, target: Side | None = None, source: str = "the tokenizer"):
        super().__init__(side.table, side.special, source)
        side.pieces.encode_special_tokens = False
        self._side, self._target, self._source = side, target, source
        with reported(source):
            self._rules = CharacterRules(side.charsmap)
        self._ids = side.table.get_vocab()

    @functools.cached_property
    def target(self) -> "OpusTokenizer":
        """The tokenizer of the texts that the translator writes."""
        return self if self._target is None else OpusTokenizer(self._target, None, self._source)

    def _rows(self, texts: list[str], add_special_tokens: bool) -> list[list[int]]:
        marks = [LANGUAGE.match(text) for text in texts]
        rests = [
            self._rules.apply(text[mark.end() if mark else 0 :])
            for text, mark in zip(texts, marks, strict=True)
        ]
        # An unknown letter may be a piece of the other language: its text is needed, not its id.
        found = self._side.pieces.encode_batch(rests, add_special_tokens=False)
        unknown, end = self.special.need("unk"), [self.eos_id] * add_special_tokens
        pieces = (
            [*([mark[0]] if mark else []), *encoding.tokens]
            for mark, encoding in zip(marks, found, strict=True)
        )
        return [[*(self._ids.get(piece, unknown) for piece in row), *end] for row in pieces]

    def decode(self, ids: Iterable[SupportsIndex]) -> str:
        """Returns the text of ids up to the first end mark, without spaces at its ends."""
        return super().decode(ids).strip()

    def _contents(self) -> dict[str, Any]:
        sides = [self._side] if self._target is None else [self._side, self._target]
        return {"sides": list(map(_contents, sides))}

    @classmethod
    def from_contents(cls, contents: Mapping[str, Any], path: str) -> "OpusTokenizer":
        """Reads the contents of a file that `save` wrote at path."""
        return cls(*(_side(side, path) for side in contents["sides"][:2]), source=path)


def _contents(side: Side) -> dict[str, Any]:
    return {
        "pieces": json.loads(side.pieces.to_str()),
        "charsmap": base64.b64encode(side.charsmap).decode(),
        "tokenizer": json.loads(side.table.to_str()),
        "special_ids": dataclasses.asdict(side.special),
    }


def _side(contents: Mapping[str, Any], path: str) -> Side:
    return Side(
        subwords_of_json(json.dumps(contents["pieces"]), path),
        base64.b64decode(contents["charsmap"]),
        subwords_of_json(json.dumps(contents["tokenizer"]), path),
        SpecialIds(**contents["special_ids"]),
    )
