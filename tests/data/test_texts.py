import numpy as np
import pytest
from flax_transformer.data.datasets.text_datasets import (
    PlainTextConfig,
    count_bytes,
    prepare_stream,
    read_stream,
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


def test_documents_stand_end_to_end_between_end_marks(make_config, tmp_path):
    tokenizer, stream = prepare_stream(make_config(tokens="characters"), tmp_path / "none.json")
    assert stream.dtype == np.int32
    ends = np.flatnonzero(stream == EOS).tolist()
    assert ends == [0, len("to be\nor not") + 1, len(stream) - 1]
    assert tokenizer.decode(stream[1:]) == "to be\nor not"
    assert tokenizer.decode(stream[ends[1] + 1 :]) == "to bé"


def test_a_character_is_a_token_and_an_unknown_one_is_shown_as_such(make_config, tmp_path):
    config = make_config(tokens="characters")
    tokenizer, _ = prepare_stream(config, tmp_path / "none.json")
    assert tokenizer.vocab_size == 3 + len({UNKNOWN, *"to be\nor not bé"})
    stream = read_stream(config, tokenizer, "validation")
    assert len(stream) == len("not zé") + 2
    assert tokenizer.decode(stream[1:]) == f"not {UNKNOWN}é"
    tokenizer.save(tmp_path / "kept.json")
    read = Tokenizer.load(tmp_path / "kept.json")
    assert read.encode("or not?") == tokenizer.encode("or not?")
    assert read.decode(read.encode("to be\n\n  or")) == "to be\n\n  or"


def test_subwords_bring_any_text_back(make_config, tmp_path):
    config = make_config(vocab_size=263)
    tokenizer, stream = prepare_stream(config, tmp_path / "none.json")
    assert tokenizer.vocab_size <= 263
    assert tokenizer.decode(stream[1:]) == "to be\nor not"
    validation = read_stream(config, tokenizer, "validation")
    assert tokenizer.decode(validation[1:]) == "not zé"
    assert count_bytes(config, "validation") == len("not zé".encode())


def test_the_tokenizer_of_an_earlier_start_is_kept(make_config, tmp_path):
    path = tmp_path / "tokenizer.json"
    Tokenizer.of_characters(["xyz to be"]).save(path)
    tokenizer, stream = prepare_stream(make_config(tokens="characters"), path)
    assert tokenizer.vocab_size == 3 + len({UNKNOWN, *"xyz to be"})
    assert read_stream(make_config(tokens="characters"), tokenizer, "train").tolist() == (
        stream.tolist()
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_length": 1}, "data.max_length must be at least 2, not 1"),
        ({"batch_size": 0}, "data.batch_size must be at least 1, not 0"),
        ({"vocab_size": 258}, "data.vocab_size must be at least 259, not 258"),
        ({"train_text": "a.txt"}, "train_text is set, but tinyshakespeare does not read it"),
    ],
)
def test_impossible_values_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        PlainTextConfig(**fields)


def test_what_is_missing_or_misspelt_is_told(tmp_path):
    with pytest.raises(UserError, match=r"plain_text needs --data\.train-text"):
        prepare_stream(PlainTextConfig(dataset="plain_text"), tmp_path / "none.json")
    with pytest.raises(UserError, match="did you mean 'tinyshakespeare'"):
        prepare_stream(PlainTextConfig(dataset="tinyshakespear"), tmp_path / "none.json")
