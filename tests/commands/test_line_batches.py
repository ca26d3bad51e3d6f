import io
import os
import sys
import threading
from types import SimpleNamespace

import pytest

from flax_transformer.commands.classify_command import Classify
from flax_transformer.commands.fill_command import Fill
from flax_transformer.commands.generate_command import Generate
from flax_transformer.commands.translate_command import Translate
from flax_transformer.errors import UserError
from flax_transformer.line_batches import (
    LineBatch,
    answer_lines,
    is_input_given,
    line_batches,
    standard_input,
)


@pytest.fixture
def pipe(monkeypatch):
    """Replaces standard input by a pipe and writes to it; None closes it."""
    reading, writing = os.pipe()
    with open(reading) as stream, open(writing, "wb", buffering=0) as sink:
        monkeypatch.setattr(sys, "stdin", stream)
        yield lambda data: sink.close() if data is None else sink.write(data)


def test_what_has_arrived_is_given_without_waiting_for_more(pipe):
    batches = standard_input(3)
    pipe(b"a\nb\nc")
    assert next(batches) == ["a", "b"]
    pipe(b"\n")
    assert next(batches) == ["c"]
    pipe(b"d\ne\nf\ng\n")
    assert next(batches) == ["d", "e", "f"]
    assert next(batches) == ["g"]
    pipe(b"h\ni")
    pipe(None)
    assert list(batches) == [["h", "i"]]


def test_what_arrives_while_a_batch_is_answered_is_the_next_batch(pipe):
    batches = standard_input(100)
    pipe(b"a\n")
    assert next(batches) == ["a"]
    for _ in range(5):
        pipe(b"b\n")
    assert next(batches) == ["b"] * 5


def test_a_line_that_comes_in_pieces_is_waited_for(pipe):
    batches = standard_input(3)
    pipe("zw\N{LATIN SMALL LETTER O WITH DIAERESIS}".encode()[:3])
    later = threading.Timer(0.2, pipe, [b"\xb6lf\n"])
    later.start()
    assert next(batches) == ["zwölf"]
    later.join()


@pytest.mark.parametrize("most", [1, 2, 64, 10**6])
def test_a_file_comes_in_full_batches(monkeypatch, tmp_path, most):
    """A line longer than one read, without a line feed at its end."""
    lines = [str(number) * (number % 37) for number in range(3001)]
    (tmp_path / "lines").write_text("\n".join(lines))
    with (tmp_path / "lines").open() as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        batches = list(standard_input(most))
    assert [line for batch in batches for line in batch] == lines
    assert {len(batch) for batch in batches[:-1]} <= {most}
    assert len(batches) == -(-len(lines) // most)


def test_lines_are_counted_over_batches(monkeypatch):
    stream = io.BytesIO(b"a\nb\nc\nd\xff\n")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))
    batches = line_batches([], 3)
    assert next(batches) == LineBatch(0, ["a", "b", "c"], True)
    first, [bad], is_input = next(batches)
    assert (first, is_input) == (3, True)
    assert isinstance(bad, UserError)
    assert str(bad).startswith("standard input, line 4, is not UTF-8")
    assert list(line_batches(("x", "y"), 1)) == [LineBatch(0, ["x", "y"], False)]


def test_a_closed_standard_input_has_no_lines(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert list(standard_input(1)) == []
    assert not is_input_given()


def test_a_pipe_and_a_file_have_lines_and_the_null_device_has_none(pipe, monkeypatch, tmp_path):
    assert is_input_given()
    for path, expected in ((tmp_path / "empty", True), (os.devnull, False)):
        with open(path, "a+") as stream:
            monkeypatch.setattr(sys, "stdin", stream)
            assert is_input_given() == expected


def lengths_below(limit: int):
    """Answers texts by their lengths, but refuses them all if one is too long."""
    calls = []

    def answer(texts, number):
        calls.append((number, len(texts)))
        for place, text in enumerate(texts, number):
            if len(text) >= limit:
                raise UserError(f"text {place} is too long")
        return [len(text) for text in texts]

    return answer, calls


def test_bad_lines_do_not_stop_the_others(capsys):
    answer, calls = lengths_below(3)
    texts = ["a", "bb", "ccc", "d", "ee", "fff", "g"]
    batches = [LineBatch(10, texts, True), LineBatch(17, ["hh"], True)]
    written = []
    with pytest.raises(UserError, match="2 of 8 lines could not be answered"):
        answer_lines(batches, answer, lambda *one: written.append(one))
    assert capsys.readouterr().err == "error: text 13 is too long\nerror: text 16 is too long\n"
    assert [(index, text) for index, text, _ in written] == list(enumerate([*texts, "hh"], 10))
    found = [None if isinstance(one, UserError) else one for _, _, one in written]
    assert found == [1, 2, None, 1, 2, None, 1, 2]
    assert calls[-1] == (18, 1)


def test_a_bad_text_of_the_command_line_stops_it():
    answer, _ = lengths_below(2)
    with pytest.raises(UserError, match="text 2 is too long"):
        answer_lines([LineBatch(0, ["a", "bb"], False)], answer, print)


@pytest.mark.parametrize(
    ("command", "words"),
    [(Translate, "texts"), (Generate, "texts"), (Fill, "texts"), (Classify, "inputs")],
)
def test_a_batch_of_no_lines_is_refused_before_a_model_is_loaded(command, words, tmp_path):
    with pytest.raises(UserError, match="--batch-lines must be at least 1, not 0"):
        command(**{words: ()}, workdir=tmp_path / "none", batch_lines=0).run()


def test_a_terminal_is_typed_on(monkeypatch):
    of_person, of_process = os.openpty()
    with open(of_process) as stream, open(of_person, "wb", buffering=0) as keys:
        monkeypatch.setattr(sys, "stdin", stream)
        assert not is_input_given()
        batches = standard_input(64)
        for line in ("a", "b"):
            keys.write(f"{line}\n".encode())
            assert next(batches) == [line]
