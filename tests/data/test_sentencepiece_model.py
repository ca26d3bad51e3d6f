"""SentencePiece models are read by hand: their format, their rules, and damaged files."""

import contextlib

import pytest
from handmade_model import PIECES, message, model, rules
from hypothesis import given
from hypothesis import strategies as st

from flax_transformer.data.tokens.character_rules import CharacterRules
from flax_transformer.data.tokens.published_folder import read_published_tokenizer
from flax_transformer.data.tokens.sentencepiece_model import PieceKind, SentencePieceModel
from flax_transformer.data.tokens.wire_format import WireFormatError, message_fields
from flax_transformer.errors import UserError

FIELD = st.tuples(
    st.integers(1, 1000),
    st.one_of(st.integers(0, 2**64 - 1), st.floats(width=32, allow_nan=False), st.binary()),
)


@given(st.lists(FIELD))
def test_a_message_is_read_as_it_was_written(fields):
    data = message(fields)
    assert list(message_fields(data)) == fields
    for end in range(len(data)):
        found = []
        with contextlib.suppress(WireFormatError):
            found.extend(message_fields(data[:end]))
        assert found == fields[: len(found)]
        assert len(found) < len(fields)


@pytest.mark.parametrize(
    ("data", "mistake"), [(b"\x0b", "wire type 3"), (b"\xff" * 11, "more than 64 bits")]
)
def test_other_bytes_are_no_message(data, mistake):
    with pytest.raises(WireFormatError, match=mistake):
        list(message_fields(data))


def test_a_model_is_read(tmp_path):
    path = tmp_path / "spiece.model"
    path.write_bytes(model(trainer=[(35, 1), (42, 2), (43, 2**64 - 1)], normalizer=[(4, 0)]))
    found = SentencePieceModel.read(path)
    assert [(p.text, p.score, p.kind) for p in found.pieces] == PIECES
    assert found.pieces[1].kind is PieceKind.CONTROL
    assert found.is_unigram
    assert found.has_byte_fallback
    assert found.special_ids == {"unk": 0, "bos": 1, "eos": 2}
    assert (found.adds_prefix, found.removes_spaces, found.escapes_spaces) == (True, False, True)


def test_a_text_is_cut_into_the_likeliest_pieces(tmp_path):
    (tmp_path / "spiece.model").write_bytes(model())
    tokenizer, files = read_published_tokenizer(tmp_path)
    assert files == ["spiece.model"]
    ids = tokenizer.encode("  two  two-to ")
    names = ["\u2581two", "\u2581two", "-", "t", "o"]
    assert tokenizer.names(ids) == names
    assert ids == [[text for text, *_ in PIECES].index(name) for name in names]
    assert tokenizer.decode([1, *ids, 2, 5]) == "two two-to"
    assert tokenizer.encode("two xyz") == [3, 4, 0]
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.special.pad) == (1, 2, None)
    assert tokenizer.special_ids == [0, 1, 2]


def test_pairs_are_merged_in_the_order_of_their_scores(tmp_path):
    letters = [(letter, -9.0, 1) for letter in "\u2581abc"]
    merged = [("ab", -0.5, 1), ("bc", -0.25, 1), ("abc", -1.0, 1)]
    pieces = [("<unk>", 0.0, 2), *letters, *merged]
    (tmp_path / "tokenizer.model").write_bytes(model(pieces, trainer=[(3, 2)]))
    tokenizer = read_published_tokenizer(tmp_path).tokenizer
    assert tokenizer.names(tokenizer.encode("abc ab")) == ["\u2581", "abc", "\u2581", "ab"]
    assert tokenizer.names(tokenizer.encode("bcb")) == ["\u2581", "bc", "b"]


def test_the_longest_rule_applies():
    found = CharacterRules(rules({"a": "x", "ab": "yy", "c": ""}))
    assert found.apply("abac-b é ab") == "yyx-b é yy"
    assert found.apply("b é") == "b é"
    assert CharacterRules(rules({"a": "ü"})).apply("bab") == "büb"


@pytest.mark.parametrize(
    "compiled", [b"abc", b"\x08\0\0\0abcd", b"\x03\0\0\0abcdefgh", b"\0\0\0\0abcd"]
)
def test_damaged_rules_are_refused(compiled):
    with pytest.raises(ValueError, match="rules of"):
        CharacterRules(compiled)


def test_rules_without_a_replacement_are_refused():
    with pytest.raises(ValueError, match="no replacement"):
        CharacterRules(rules({"a": "x"}).removesuffix(b"\0")).apply("a")


@pytest.mark.parametrize(
    ("contents", "mistake"),
    [
        (model()[:50], "cut at byte"),
        (model([]), "0 unknown pieces"),
        (model([*PIECES, PIECES[-1]]), "a piece occurs twice"),
        (model([*PIECES, ("x", float("nan"), 1)]), "score nan"),
        (model([*PIECES, ("x", 0.0, 7)]), "kind 7"),
        (model([*PIECES, ("", 0.0, 1)]), "piece 9"),
        (model(trainer=[(3, 3)]), "model type 3"),
        (model(trainer=[(24, 1)]), "spaces that end words"),
        (model(trainer=[(3, b"x")]), "field 3 has the wrong type"),
        (message([(1, 7)]), "field 1 is not a message"),
        (message([(1, message([(1, b"\xff")]))]), "utf-8"),
    ],
)
def test_a_damaged_model_is_reported_in_one_line(contents, mistake, tmp_path):
    (tmp_path / "spiece.model").write_bytes(contents)
    with pytest.raises(UserError, match=mistake) as raised:
        read_published_tokenizer(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path / 'spiece.model'} is not a SentencePiece model")
