import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flax_transformer.data.tokens.tokenizer import (
    BOS,
    EOS,
    MIN_VOCAB_SIZE,
    NUM_SPECIAL,
    PAD,
    Tokenizer,
)
from flax_transformer.errors import UserError

TEXTS = ["two", "twenty-two", "<pad> <s> </s>", "<pad><pad><pad>", "zweiundzwanzig"] * 3
TOKENIZER = Tokenizer.train(TEXTS, vocab_size=307)


@given(st.text())
def test_any_text_comes_back(text):
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", " ", "  two  spaces ", "\ttab\n\r\n", "<pad>", "a<s>b</s>", "\0\x1b\x7f", "\u200b\ufeff",
     "\u2028", "e\u0301 is not é", "👩‍👩‍👧 🇩🇪", "Straße", "�"],
)  # fmt: skip
def test_unusual_text_comes_back(text):
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


@given(st.text())
def test_no_text_spells_a_special_token(text):
    ids = TOKENIZER.encode(text)
    assert all(NUM_SPECIAL <= token < TOKENIZER.vocab_size for token in ids)


def test_markers_seen_in_training_stay_text():
    assert len(TOKENIZER.encode("<pad>")) < len("<pad>")  # merged, so it was learned
    assert {PAD, BOS, EOS}.isdisjoint(TOKENIZER.encode("<pad>"))


@given(st.lists(st.text(max_size=7), max_size=5))
def test_a_batch_is_encoded_as_its_texts_are(texts):
    assert TOKENIZER.encode_batch(texts) == [TOKENIZER.encode(text) for text in texts]


def test_decoding_stops_at_the_end_mark_and_skips_padding_and_start():
    two, five = TOKENIZER.encode("two"), TOKENIZER.encode(" five")
    assert TOKENIZER.decode([BOS, *two, PAD, *five, EOS, *two]) == "two five"
    assert TOKENIZER.decode([EOS]) == TOKENIZER.decode([]) == ""


def test_ids_beyond_the_vocabulary_do_not_break_decoding():
    assert TOKENIZER.decode([*TOKENIZER.encode("two"), TOKENIZER.vocab_size + 5]) == "two"


@given(st.text(st.characters(exclude_characters="\\", exclude_categories=["Cs"])))
def test_names_of_subwords_spell_every_byte_of_the_text(text):
    names = TOKENIZER.names(TOKENIZER.encode(text))
    assert len(names) == len(TOKENIZER.encode(text))
    spelled = re.sub(
        rb"\\x([0-9a-f]{2})", lambda byte: bytes.fromhex(byte[1].decode()), "".join(names).encode()
    )
    assert spelled == text.encode()


def test_special_tokens_and_ids_beyond_the_vocabulary_have_names():
    two = TOKENIZER.encode("two")
    named = TOKENIZER.names([BOS, *two, EOS, PAD, TOKENIZER.vocab_size])
    assert named == ["<s>", "two", "</s>", "<pad>", ""]


def test_names_of_characters_are_the_characters():
    tokenizer = Tokenizer.of_characters(["b ü\n\u200bĊ", "a"])
    text = "ab\n ü\u200bĊ"
    names = tokenizer.names([BOS, *tokenizer.encode(text), EOS, PAD, tokenizer.vocab_size])
    assert names == ["<s>", *text, "</s>", "<pad>", ""]
    assert tokenizer.names(tokenizer.encode("z")) == ["\ufffd"]


def test_training_is_deterministic():
    assert Tokenizer.train(iter(TEXTS), 307).encode("twenty") == TOKENIZER.encode("twenty")
    assert Tokenizer.train(TEXTS, 307).vocab_size == TOKENIZER.vocab_size


def test_vocabulary_is_never_larger_than_asked():
    assert MIN_VOCAB_SIZE < Tokenizer.train(TEXTS, 263).vocab_size <= 263


def test_the_smallest_vocabulary_is_bytes():
    tokenizer = Tokenizer.train(TEXTS, MIN_VOCAB_SIZE)
    assert tokenizer.vocab_size == MIN_VOCAB_SIZE
    assert len(tokenizer.encode("über")) == len("über".encode())


def test_a_vocabulary_smaller_than_the_bytes_is_refused():
    with pytest.raises(UserError, match=r"--data.vocab-size 258 is too small: .* at least 259"):
        Tokenizer.train(TEXTS, 258)


def test_no_text_to_train_on_is_refused():
    with pytest.raises(UserError, match="training split is empty"):
        Tokenizer.train([], 307)


def test_a_lone_surrogate_is_refused():
    with pytest.raises(UserError, match=r"not a valid Unicode text: 'a\\udc80'"):
        TOKENIZER.encode_batch(["fine", "a\udc80"])


def test_a_saved_tokenizer_is_the_same(tmp_path):
    path = tmp_path / "new" / "tokenizer.json"
    TOKENIZER.save(path)
    loaded = Tokenizer.load(path)
    assert loaded.vocab_size == TOKENIZER.vocab_size
    assert loaded.encode("twenty-five <pad>") == TOKENIZER.encode("twenty-five <pad>")
    assert [file.name for file in path.parent.iterdir()] == ["tokenizer.json"]


@pytest.mark.parametrize("contents", ["", "{", "{}", "[1]", "not json"])
def test_a_corrupt_file_is_refused(tmp_path, contents):
    path = tmp_path / "tokenizer.json"
    path.write_text(contents)
    with pytest.raises(UserError, match=r"cannot read the tokenizer .*tokenizer\.json"):
        Tokenizer.load(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"cannot read the tokenizer .*none"):
        Tokenizer.load(tmp_path / "none")
