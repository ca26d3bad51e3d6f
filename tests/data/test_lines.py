import dataclasses
import itertools

import pytest

from flax_transformer.data.plain_text_config import PlainTextConfig
from flax_transformer.data.tokens.tokenized_splits import make_tokenizer, tokenize_lines
from flax_transformer.data.tokens.tokenizer import BOS, EOS
from flax_transformer.errors import UserError


@pytest.fixture
def config(tmp_path):
    (tmp_path / "a.txt").write_bytes("one\r\n\n  \ntwo three\u2028four\n".encode())
    (tmp_path / "b.txt").write_bytes(b"\nfive six seven eight nine ten")
    return PlainTextConfig(
        dataset="plain_text",
        data_dir=str(tmp_path / "prepared"),
        train_text=str(tmp_path),
        validation_text=str(tmp_path / "a.txt"),
        vocab_size=259,  # bytes alone
        max_length=22,
    )


def test_each_line_is_a_text_between_its_marks(config):
    tokenizer = make_tokenizer(config)
    texts = tokenize_lines(config, tokenizer, "validation")
    rows = [texts.tokens[a:b].tolist() for a, b in itertools.pairwise(texts.offsets)]
    assert [row[0] for row in rows] == [BOS] * 2
    assert [row[-1] for row in rows] == [EOS] * 2
    assert [tokenizer.decode(row) for row in rows] == ["one", "two three\u2028four"]


def test_a_line_that_is_too_long_goes_on_in_another_row(config):
    tokenizer = make_tokenizer(config)
    texts = tokenize_lines(config, tokenizer, "train")
    assert texts.lengths.tolist()[2:] == [22, 11]
    rows = [texts.tokens[a:b].tolist() for a, b in itertools.pairwise(texts.offsets)]
    assert [tokenizer.decode(row) for row in rows[2:]] == ["five six seven eight", " nine ten"]
    assert {row[0] for row in rows} == {BOS}
    assert {row[-1] for row in rows} == {EOS}
    # What is kept beside the data set gives the same.
    again = tokenize_lines(config, tokenizer, "train")
    assert again.tokens.tolist() == texts.tokens.tolist()


def test_a_text_without_a_line_is_refused(config, tmp_path):
    (tmp_path / "blank.txt").write_text("\n \n\n")
    blank = dataclasses.replace(config, validation_text=str(tmp_path / "blank.txt"))
    with pytest.raises(UserError, match="validation of plain_text has no line of text"):
        tokenize_lines(blank, make_tokenizer(config), "validation")
    short = dataclasses.replace(config, max_length=2)
    with pytest.raises(UserError, match=r"--data\.max-length must be at least 3, not 2"):
        tokenize_lines(short, make_tokenizer(config), "validation")
