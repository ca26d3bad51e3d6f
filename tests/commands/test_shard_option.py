"""Parts of a file are answered apart, and their outputs together are those of the whole file."""

import io
import json
import os
import sys
from types import SimpleNamespace

import pytest
from command_line import assert_is_error
from small import PAIRS
from untrained import EXPERIMENTS, write_workdir

from flax_transformer.commands.translate_command import Translate
from flax_transformer.errors import UserError
from flax_transformer.line_batches import Shard, line_batches, parse_shard

SOURCES = [PAIRS[7].source, "", PAIRS[2].source, PAIRS[0].source, PAIRS[19].source]
FILE = "\n".join(SOURCES).encode()  # its last line has no line feed


@pytest.mark.parametrize("count", [0, 2, 3, 11])
def test_parts_are_contiguous_and_of_similar_size(count):
    parts = [Shard(index, 3).part(count) for index in range(3)]
    assert [index for part in parts for index in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(
    ("content", "lines"),
    [(b"", []), (b"a", ["a"]), (b"a\n\nb\nc\nd\n", ["a", "", "b", "c", "d"])],
)
@pytest.mark.parametrize("batch_lines", [1, 2, 64])
@pytest.mark.parametrize("number", [1, 2, 7])
def test_each_line_is_in_one_part_under_its_own_index(
    monkeypatch, tmp_path, content, lines, batch_lines, number
):
    (tmp_path / "file").write_bytes(content)
    found = []
    for index in range(number):
        with (tmp_path / "file").open() as stream:
            monkeypatch.setattr(sys, "stdin", stream)
            for batch in line_batches([], batch_lines, Shard(index, number)):
                assert 1 <= len(batch.texts) <= batch_lines
                found += enumerate(batch.texts, batch.first)
    assert found == list(enumerate(lines))


def test_a_closed_standard_input_has_an_empty_part(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert list(line_batches([], 5, Shard(1, 2))) == []


def test_a_pipe_is_refused(monkeypatch):
    reading, writing = os.pipe()
    os.close(writing)
    with open(reading) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        with pytest.raises(UserError, match="a pipe cannot be read twice: give a file with < F"):
            next(line_batches([], 5, Shard(0, 2)))


def test_texts_of_the_command_line_are_refused():
    with pytest.raises(UserError, match="--shard divides the lines of standard input: give a"):
        next(line_batches(["two"], 5, Shard(0, 2)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2", "--shard 2 is not I/N: give two numbers, such as 0/4"),
        ("1/2/3", "--shard 1/2/3 is not I/N"),
        ("-1/2", "--shard -1/2 is not I/N"),
        ("a/b", "--shard a/b is not I/N"),
        ("4/4", "the 4 parts are counted from 0: give a part below 4, such as 0/4"),
        ("0/0", "the number of parts in --shard must be at least 1"),
    ],
)
def test_mistakes_are_explained(text, message):
    with pytest.raises(UserError) as info:
        parse_shard(text)
    assert message in str(info.value)


def test_a_mistake_is_reported_before_a_model_is_loaded(tmp_path):
    with pytest.raises(UserError, match="--shard 3/3: the 3 parts are counted from 0"):
        Translate(texts=(), workdir=tmp_path / "none", shard="3/3").run()


@pytest.mark.usefixtures("trained")
def test_a_mistake_is_reported_in_a_line(run):
    assert_is_error(run("translate", "--workdir", "run", "--shard", "3"), "--shard 3 is not I/N")


@pytest.mark.usefixtures("trained")
def test_outputs_of_parts_are_the_output_of_the_whole(run):
    """Indices and random numbers belong to the line of the whole file."""
    words = ["translate", "--workdir", "run", "--n-best", "2", "--decoding.method", "sample"]
    whole = run(*words, stdin=FILE)
    parts = [run(*words, "--shard", f"{index}/2", stdin=FILE) for index in (0, 1)]
    assert "".join(part.out for part in parts) == whole.out != ""
    assert all(part.out for part in parts)


@pytest.mark.usefixtures("trained")
def test_files_of_pairs_are_divided_too(run, folder):
    for name, texts in zip(("s.txt", "t.txt"), list(zip(*PAIRS[:5], strict=True))[:2], strict=True):
        (folder / name).write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    words = ["score", "--workdir", "run", "--json", "--source", "s.txt", "--target", "t.txt"]
    parts = [run(*words, "--shard", f"{index}/2").out for index in (0, 1)]
    found, expected = (
        [json.loads(line) for line in text.splitlines()]
        for text in ("".join(parts), run(*words).out)
    )
    assert [line["index"] for line in found] == [0, 1, 2, 3, 4]
    assert [line["input"] for line in found] == [line["input"] for line in expected]
    scores = [line["log_prob"] for line in expected]
    assert [line["log_prob"] for line in found] == pytest.approx(scores, rel=1e-5)


def test_classes_have_the_indices_of_the_whole_file(run, folder):
    write_workdir(folder / "labels", EXPERIMENTS["texts"])
    words = ["classify", "--workdir", "labels", "--json"]
    parts = [run(*words, "--shard", f"{index}/2", stdin=b"two\nsix\ntwo two\n") for index in (0, 1)]
    assert [part.out.count('"index"') for part in parts] == [1, 2]
    assert parts[1].out.startswith('{"index": 1, "input": "six"')


def test_a_stream_in_memory_counts_as_a_file(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a\nb\nc")))
    assert [batch.texts for batch in line_batches([], 5, Shard(1, 2))] == [["b", "c"]]
