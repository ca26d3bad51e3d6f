"""Adopted tokenizers: their ids follow ours, texts are given back, and bad files are refused."""

import itertools
import re
import warnings
from typing import Any

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers

from flax_transformer.data.datasets import plain_text
from flax_transformer.data.labeled_text_config import LabeledTextConfig
from flax_transformer.data.parallel_text_config import ParallelTextConfig
from flax_transformer.data.plain_text_config import PlainTextConfig
from flax_transformer.data.tokens.adopted_tokenizer import adopt_tokenizer
from flax_transformer.data.tokens.tokenized_splits import (
    make_tokenizer,
    tokenize_labeled,
    tokenize_pairs,
    tokenize_stream,
)
from flax_transformer.data.tokens.tokenizer import BOS, EOS, NUM_SPECIAL, PAD, Tokenizer
from flax_transformer.errors import UserError
from flax_transformer.experiment import Experiment

TEXTS = ["The house is small.", "Das Haus ist klein.", "twenty-two houses", "<s> <pad> </s>"] * 5
MARKS = ["<pad>", "<s>", "</s>"]


def byte_level() -> tokenizers.Tokenizer:
    """A tokenizer like GPT-2's, with all that a file may hold beside the vocabulary."""
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=MARKS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(TEXTS[:3], trainer)
    return made


def word_pieces() -> tokenizers.Tokenizer:
    """A tokenizer like BERT's, which makes letters small."""
    pieces = ["[UNK]", "the", "house", "##s", "is", "small", "."]
    made = tokenizers.Tokenizer(
        models.WordPiece({p: n for n, p in enumerate(pieces)}, unk_token="[UNK]")
    )
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    return made


def unigram() -> tokenizers.Tokenizer:
    """A tokenizer like T5's, whose spaces are letters."""
    made = tokenizers.Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=40, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
    )
    made.train_from_iterator(TEXTS[:3], trainer)
    return made


@pytest.fixture
def write(tmp_path):
    """Writes a tokenizer, or any bytes, into a file and gives its path."""

    def write(contents, name="tokenizer.json") -> str:
        path = tmp_path / name
        if not isinstance(contents, bytes):
            contents = contents.to_str().encode()
        path.write_bytes(contents)
        return str(path)

    return write


@pytest.fixture(scope="module")
def adopted(tmp_path_factory) -> Tokenizer:
    path = tmp_path_factory.mktemp("adopted") / "tokenizer.json"
    byte_level().save(str(path))
    return adopt_tokenizer(path, TEXTS)


@pytest.mark.parametrize("make", [byte_level, word_pieces, unigram])
def test_ids_are_its_own_behind_the_special_ones(make, write):
    made = make()
    tokenizer = adopt_tokenizer(write(made))
    text = "The house is small."
    own = made.encode(text, add_special_tokens=False).ids
    assert tokenizer.encode(text) == [number + NUM_SPECIAL for number in own]
    assert tokenizer.vocab_size == made.get_vocab_size() + NUM_SPECIAL


@given(st.text())
def test_any_text_comes_back_of_bytes(adopted, text):
    ids = adopted.encode(text)
    assert adopted.decode([BOS, *ids, EOS, *ids]) == text
    assert all(NUM_SPECIAL <= token < adopted.vocab_size for token in ids)


def test_usual_text_comes_back_of_pieces_with_spaces(write):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokenizer = adopt_tokenizer(write(unigram()), TEXTS[:3])
    assert [tokenizer.decode(tokenizer.encode(text)) for text in TEXTS[:3]] == TEXTS[:3]


def test_a_text_that_spells_a_special_token_is_a_text(adopted):
    numbers = byte_level().get_vocab()
    special = {numbers[mark] + NUM_SPECIAL for mark in MARKS}
    ids = adopted.encode("a<s> b </s><pad>")
    assert special.isdisjoint(ids)
    assert adopted.decode(ids) == "a<s> b </s><pad>"


def test_its_padding_limit_and_dropout_have_no_effect(write):
    made = byte_level()
    plain = adopt_tokenizer(write(made))
    made.enable_padding(length=50)
    made.enable_truncation(2)
    made.model.dropout = 0.9
    tokenizer = adopt_tokenizer(write(made))
    assert tokenizer.encode_batch(TEXTS) == plain.encode_batch(TEXTS)
    assert len(plain.encode(TEXTS[0])) > 2


def test_gaps_between_ids_and_tokens_added_later_have_rows(write):
    made = tokenizers.Tokenizer(models.WordLevel({"a": 0, "[UNK]": 7}, unk_token="[UNK]"))
    made.add_tokens([AddedToken("b")])
    tokenizer = adopt_tokenizer(write(made))
    (a,), (b,), (unknown,) = tokenizer.encode_batch(["a", "b", "c"])
    assert max(a, b, unknown) < tokenizer.vocab_size
    assert [tokenizer.decode([token]) for token in (a, b, unknown)] == ["a", "b", "[UNK]"]


def test_a_text_that_changes_is_shown_once(write):
    with pytest.warns(UserWarning, match=r"changes 15 of 20 texts, for example") as caught:
        adopt_tokenizer(write(word_pieces()), [*TEXTS[:3] * 5, *["the house is small."] * 5])
    assert len(caught) == 1
    assert "'The house is small.' to 'the house is small.'" in str(caught[0].message)


def test_names_are_its_spellings_or_the_bytes(adopted, write):
    names = adopted.names([BOS, *adopted.encode(" house ü"), PAD])
    assert (names[0], names[-1]) == ("<s>", "<pad>")
    assert "".join(names[1:-1]) == r" house \xc3\xbc"
    pieces = adopt_tokenizer(write(word_pieces()))
    assert pieces.names(pieces.encode("houses ü")) == ["house", "##s", "[UNK]"]


def test_it_is_saved_and_read_as_one_of_ours(adopted, tmp_path):
    adopted.save(tmp_path / "copy.json")
    copy = Tokenizer.load(tmp_path / "copy.json")
    assert copy.encode_batch(TEXTS) == adopted.encode_batch(TEXTS)
    assert copy.to_json() == adopted.to_json()


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "EOF while parsing"),
        (b"\x0a\x0e\x0a\x05<unk>\x15\0\0\0\0\x18\x02\xff", "codec can't decode"),  # sentencepiece
        (b"{", "EOF while parsing"),
        (b'{"the": 0, "house": 1}', "expected"),  # a vocabulary without a model
        (b"[1]", "invalid type"),
        (b"the\nhouse\n", "expected"),
        (byte_level().to_str().encode()[:999], "EOF while parsing"),
    ],
)
def test_another_file_is_refused_in_one_line(contents, message, write):
    path = write(contents)
    with pytest.raises(UserError, match=message) as error:
        adopt_tokenizer(path)
    assert str(error.value).startswith(f"{path} is not a Hugging Face tokenizer (")
    assert str(error.value).endswith("save_pretrained of a fast tokenizer writes")


def test_a_file_that_is_not_there_or_empty_of_tokens_is_refused(write, tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(UserError, match=rf"cannot read {path} .*give the path of a token"):
            adopt_tokenizer(path)
    with pytest.raises(UserError, match="has 0 tokens: give a tokenizer with 1 to"):
        adopt_tokenizer(write(tokenizers.Tokenizer(models.BPE())))


def test_a_text_that_it_cannot_encode_is_told(write):
    made = tokenizers.Tokenizer(models.WordLevel({"a": 0}, unk_token="[UNK]"))
    with pytest.raises(UserError, match=r"cannot encode every text .*with an unknown token"):
        adopt_tokenizer(write(made), ["b"])


@pytest.fixture
def pairs_config(tmp_path, write) -> ParallelTextConfig:
    file = tmp_path / "text"
    file.write_text("".join(f"{text}\n" for text in TEXTS))
    fields: dict[str, Any] = {"data_dir": str(tmp_path / "prepared")}
    for split, side in itertools.product(("train", "validation"), ("source", "target")):
        fields[f"{split}_{side}"] = str(file)
    return ParallelTextConfig(dataset="text_files", tokenizer=write(byte_level()), **fields)


def test_pairs_are_tokenized_by_it(pairs_config, adopted):
    tokenizer = make_tokenizer(pairs_config)
    pairs = tokenize_pairs(pairs_config, tokenizer, "train")
    assert tokenizer.to_json() == adopted.to_json()
    assert tokenizer.decode(pairs.source.tokens[: pairs.source.offsets[1]]) == TEXTS[0]


def test_tokens_kept_of_one_tokenizer_are_not_those_of_another(pairs_config, adopted, write):
    first = tokenize_pairs(pairs_config, adopted, "train")
    other = adopt_tokenizer(write(unigram()))
    assert tokenize_pairs(pairs_config, other, "train").source.tokens.tolist() != (
        first.source.tokens.tolist()
    )


@pytest.mark.parametrize(
    ("make", "is_local"), [(byte_level, True), (word_pieces, False), (unigram, False)]
)
def test_only_a_tokenizer_of_words_reads_a_document_in_parts(make, is_local, write, tmp_path):
    tokenizer = adopt_tokenizer(write(make()))
    assert tokenizer.is_local == is_local
    text = tmp_path / "a.txt"
    text.write_text("The house\n is small.\n" * 9)
    config = PlainTextConfig(
        "plain_text", train_text=str(text), data_dir=str(tmp_path / "prepared")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain_text, "PART_SIZE", 5)
        stream = tokenize_stream(config, tokenizer, "train")
    train, _ = plain_text.hold_out_end(text.read_text())
    assert stream.tolist() == [EOS, *tokenizer.encode(train), EOS]


def test_plain_and_labeled_texts_are_tokenized_by_it(tmp_path, write, adopted):
    text, table = tmp_path / "a.txt", tmp_path / "a.csv"
    text.write_text("The house\nis small.\n" * 9)
    table.write_text("text,label\nThe house,x\nis small,y\n")
    fields: Any = {"data_dir": str(tmp_path / "prepared"), "tokenizer": write(byte_level())}
    plain = PlainTextConfig(dataset="plain_text", train_text=str(text), **fields)
    tokenizer = make_tokenizer(plain)
    stream = tokenize_stream(plain, tokenizer, "train")
    assert tokenizer.to_json() == adopted.to_json()
    assert text.read_text().startswith(tokenizer.decode(stream[1:40]))
    labeled = LabeledTextConfig(dataset="labeled_text", train_file=str(table), **fields)
    tokenizer = make_tokenizer(labeled)
    assert tokenizer.to_json() == adopted.to_json()
    examples = tokenize_labeled(labeled, tokenizer, "train")
    assert tokenizer.decode(examples.inputs.take(examples.labels[:1] * 0)[0][0]) == "The house"


def test_line_ends_count_only_where_they_are_read(tmp_path, write):
    text = tmp_path / "a.txt"
    text.write_text("The house is small.\nDas Haus ist klein.\r\n")
    config = PlainTextConfig(
        dataset="plain_text",
        train_text=str(text),
        validation_text=str(text),
        data_dir=str(tmp_path / "prepared"),
        tokenizer=write(unigram()),
    )
    with pytest.warns(UserWarning, match="changes 2 of 2 texts"):
        make_tokenizer(config)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_tokenizer(config, by_line=True)


def test_it_is_refused_where_it_has_no_effect(write):
    path = write(byte_level())
    with pytest.raises(UserError, match=r"leave --data\.tokenizer out, or give --data\.tokens sub"):
        PlainTextConfig(tokens="characters", tokenizer=path)
    with pytest.raises(UserError, match=re.escape("has its own tokenizer: leave --data.token")):
        Experiment(data=ParallelTextConfig(tokenizer=path), init_from="runs/masked")
