import numpy as np
import pytest

from flax_transformer.data.datasets import plain_text
from flax_transformer.data.datasets.datasets import open_split
from flax_transformer.data.plain_text_config import PlainTextConfig
from flax_transformer.data.tokens.tokenized_splits import (
    count_bytes,
    make_tokenizer,
    tokenize_stream,
)
from flax_transformer.data.tokens.tokenizer import EOS, UNKNOWN, Tokenizer
from flax_transformer.errors import UserError


@pytest.fixture
def make_config(tmp_path):
    """Gives configs of two documents to train on and one to validate on."""
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.txt").write_text("to be\nor not", encoding="utf-8")
    (tmp_path / "train" / "b.txt").write_text("to bé", encoding="utf-8")
    (tmp_path / "validation.txt").write_text("not zé", encoding="utf-8")

    def make(**fields) -> PlainTextConfig:
        return PlainTextConfig(
            dataset="plain_text",
            train_text=str(tmp_path / "train"),
            validation_text=str(tmp_path / "validation.txt"),
            data_dir=str(tmp_path / "prepared"),
            **fields,
        )

    return make


def prepare_stream(config):
    tokenizer = make_tokenizer(config)
    return tokenizer, tokenize_stream(config, tokenizer, "train")


def test_documents_stand_end_to_end_between_end_marks(make_config, tmp_path):
    tokenizer, stream = prepare_stream(make_config(tokens="characters"))
    assert stream.dtype == np.int32
    ends = np.flatnonzero(stream == EOS).tolist()
    assert ends == [0, len("to be\nor not") + 1, len(stream) - 1]
    assert tokenizer.decode(stream[1:]) == "to be\nor not"
    assert tokenizer.decode(stream[ends[1] + 1 :]) == "to bé"


def test_a_character_is_a_token_and_an_unknown_one_is_shown_as_such(make_config, tmp_path):
    config = make_config(tokens="characters")
    tokenizer, _ = prepare_stream(config)
    assert tokenizer.vocab_size == 3 + len({UNKNOWN, *"to be\nor not bé"})
    stream = tokenize_stream(config, tokenizer, "validation")
    assert len(stream) == len("not zé") + 2
    assert tokenizer.decode(stream[1:]) == f"not {UNKNOWN}é"
    tokenizer.save(tmp_path / "kept.json")
    read = Tokenizer.load(tmp_path / "kept.json")
    assert read.encode("or not?") == tokenizer.encode("or not?")
    assert read.decode(read.encode("to be\n\n  or")) == "to be\n\n  or"


def test_subwords_bring_any_text_back(make_config, tmp_path):
    config = make_config(vocab_size=263)
    tokenizer, stream = prepare_stream(config)
    assert tokenizer.vocab_size <= 263
    assert tokenizer.decode(stream[1:]) == "to be\nor not"
    validation = tokenize_stream(config, tokenizer, "validation")
    assert tokenizer.decode(validation[1:]) == "not zé"
    assert count_bytes(config, "validation") == len("not zé".encode())


@pytest.mark.parametrize("fields", [{"tokens": "characters"}, {"vocab_size": 300}], ids=str)
def test_a_text_in_parts_has_the_tokens_of_the_whole(tmp_path, monkeypatch, fields):
    text = "to be\n\n  or not\u2028\r\n\tto\x1c\nbe!\n\x1c\n \n" * 9 + "é\nzé"
    (tmp_path / "a.txt").write_bytes(text.encode())
    streams = []
    for size in (2**20, 5):
        monkeypatch.setattr(plain_text, "PART_SIZE", size)
        config = PlainTextConfig(
            "plain_text",
            train_text=str(tmp_path / "a.txt"),
            data_dir=str(tmp_path / str(size)),
            **fields,
        )
        parts = [list(record["text"]) for record in open_split(config, "train")]
        assert (len(parts[0]) > 10) == (size == 5)
        streams.append(
            [*prepare_stream(config), tokenize_stream(config, make_tokenizer(config), "validation")]
        )
    (one, *arrays), (other, *others) = streams
    assert one.to_json() == other.to_json()
    for array, same in zip(arrays, others, strict=True):
        np.testing.assert_array_equal(array, same)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_length": 1}, "--data.max-length must be at least 2, not 1"),
        ({"batch_size": 0}, "--data.batch-size must be at least 1, not 0"),
        ({"vocab_size": 258}, "--data.vocab-size must be at least 259, not 258"),
        ({"train_text": "a.txt"}, "--data.train-text is set, but tinyshakespeare does not read it"),
    ],
)
def test_impossible_values_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        PlainTextConfig(**fields)


def test_what_is_missing_or_misspelled_is_told(tmp_path):
    with pytest.raises(UserError, match=r"plain_text needs --data\.train-text"):
        prepare_stream(PlainTextConfig(dataset="plain_text"))
    with pytest.raises(UserError, match="did you mean 'tinyshakespeare'"):
        prepare_stream(PlainTextConfig(dataset="tinyshakespear"))
