"""Any text through tokenizers of any training: what is encoded comes back."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flax_transformer.data.tokens.tokenizer import EOS, MIN_VOCAB_SIZE, NUM_SPECIAL, Tokenizer
from flax_transformer.errors import UserError

# More often than by chance: what editors, the web and other scripts put into texts.
ODD = st.sampled_from(
    ["\0", "\x1b[31m", "\x7f", "\ufeff", "\u200b", "\u200d", "\u200f", "\u202e", "\u2028", "\x85",
     "\r\n", "\r", "\f", "\t", "\u00a0", "\u3000", "<pad>", "<s>", "</s>", "Ġ", "Ċ", "\ufffd",
     "👩\u200d👩\u200d👧", "🇩🇪", "e\u0301", "\u0301" * 7, "שלום", "مرحبا", "नमस्ते", "ﬁ", "İ", "ß"]
)  # fmt: skip
TEXT = st.lists(st.one_of(st.text(max_size=7), ODD), max_size=7).map("".join)
FUZZ = settings(deadline=None, derandomize=True, max_examples=101)
TRAINED = Tokenizer.train(
    ["two", "twenty-two", "שלום 👩\u200d👩\u200d👧 <pad>"] * 3, vocab_size=307
)


@FUZZ
@given(st.lists(TEXT, min_size=1, max_size=5), TEXT, st.integers(MIN_VOCAB_SIZE, 307))
def test_whatever_a_tokenizer_was_trained_on_any_text_comes_back(texts, other, vocab_size):
    tokenizer = Tokenizer.train(texts, vocab_size)
    assert MIN_VOCAB_SIZE <= tokenizer.vocab_size <= vocab_size
    for text in (*texts, other):
        ids = tokenizer.encode(text)
        assert all(NUM_SPECIAL <= token < tokenizer.vocab_size for token in ids)
        assert tokenizer.decode(ids) == text
        assert len(ids) <= len(text.encode())


@FUZZ
@given(TEXT)
def test_no_form_of_unicode_is_changed_into_another(text):
    forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD", "NFKC", "NFKD")]
    assert [TRAINED.decode(ids) for ids in TRAINED.encode_batch(forms)] == forms


@FUZZ
@given(TEXT, TEXT, st.integers(0, 97))
def test_what_follows_the_end_mark_is_never_read(text, other, padding):
    ids = [*TRAINED.encode(text), EOS, *[0] * padding, *TRAINED.encode(other)]
    assert TRAINED.decode(ids) == text


@FUZZ
@given(st.lists(st.integers(0, 2 * TRAINED.vocab_size)))
def test_whatever_a_model_says_is_text(ids):
    TRAINED.decode(ids).encode()  # no lone surrogate, so that it can be printed


@FUZZ
@given(st.data(), st.sampled_from(["cut", "changed"]))
def test_a_damaged_file_is_refused_or_still_a_tokenizer(tmp_path_factory, data, damage):
    content = bytearray(TRAINED.to_json().encode())
    place = data.draw(st.integers(0, len(content) - 1))
    if damage == "cut":
        del content[place:]
    else:
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "tokenizer.json"
    path.write_bytes(content)
    try:
        loaded = Tokenizer.load(path)
    except UserError as error:
        loaded = str(error)
    if isinstance(loaded, str):
        assert loaded.startswith(f"cannot read the tokenizer {path}")
        assert "\n" not in loaded
    else:
        assert damage == "changed"
        loaded.decode(loaded.encode("twenty-two")).encode()


@pytest.mark.parametrize(
    "word", ["x" * 10_000_000, "xyzw" * 100_003, " " * 1_000_003, "👩\u200d" * 100_003]
)
def test_a_word_of_megabytes_takes_seconds_and_comes_back(word):
    tokenizer = Tokenizer.train([word, "two", "twenty-two"], 269)
    assert tokenizer.decode(tokenizer.encode(word)) == word
    assert len(tokenizer.encode("twenty-two")) <= len("twenty-two")


def test_a_vocabulary_beyond_memory_is_refused():
    with pytest.raises(
        UserError, match=r"--data.vocab-size must be at most 16,777,216, not 16777217"
    ):
        Tokenizer.train(["two"], 2**24 + 1)
