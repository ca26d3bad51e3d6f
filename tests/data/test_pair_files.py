"""Pairs in columns of one file, further translations, and pairs held out for validation."""

import dataclasses
import gzip
import hashlib
import re
import zipfile

import pytest
from prepared import read_texts

from flax_transformer.data.datasets.datasets import open_split, read_pairs
from flax_transformer.data.datasets.parallel_files import hold_out_sources, read_columns
from flax_transformer.data.parallel_text_config import ParallelTextConfig
from flax_transformer.errors import UserError

ROWS = [(f"Satz {number}", f"sentence {number}", "CC-BY 2.0") for number in range(60)]


@pytest.fixture
def write(tmp_path):
    """Writes a file and gives its path."""

    def write(name: str, contents: str | bytes) -> str:
        path = tmp_path / name
        path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
        return str(path)

    return write


@pytest.fixture
def make_config(tmp_path):
    def make(**fields) -> ParallelTextConfig:
        data_dir = str(tmp_path / "prepared")
        return ParallelTextConfig(dataset="text_files", data_dir=data_dir, **fields)

    return make


@pytest.fixture
def table(write) -> str:
    return write("pairs.tsv", "".join("\t".join(row) + "\n" for row in ROWS))


def test_columns_are_chosen_by_number(table, make_config):
    config = make_config(train_pairs=table, validation_pairs=table)
    assert read_texts(config, "train") == [row[:2] for row in ROWS]
    turned = dataclasses.replace(config, source_column=2, target_column=1)
    assert read_texts(turned, "train") == [row[1::-1] for row in ROWS]
    third = dataclasses.replace(config, source_column=3, target_column=2)
    assert read_texts(third, "validation") == [row[:0:-1] for row in ROWS]


def test_quotes_spaces_and_line_ends_are_as_they_are(write):
    path = write("a.tsv", '\ufeff"Hi,\t Hallo!\r\n\r\n\n"Ja"\t"nein\u2028\t"\n'.encode())
    assert list(read_columns(path, (1, 2))) == [('"Hi,', " Hallo!"), ('"Ja"', '"nein\u2028')]
    packed = write("a.tsv.gz", gzip.compress("a\tä\n".encode()))
    assert list(read_columns(packed, (2, 1))) == [("ä", "a")]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (
            "a\tb\nc d\n",
            r"line 2 has no column 2, only 1: fix the line, or give --data\.source-col",
        ),
        ("\n \n", "has no pair: give a file with one pair a line"),
        ("", "is empty"),
        ("a\tb\n".encode("utf-16"), "is UTF-16"),
        (b"PK\x03\x04", "is a zip archive, not UTF-8 text: unpack it"),
    ],
)
def test_a_file_without_pairs_is_told_in_one_line(contents, message, write, make_config):
    path = write("a.tsv", contents)
    with pytest.raises(UserError, match=rf"{re.escape(path)}.*{message}") as error:
        open_split(make_config(train_pairs=path), "train")
    assert "\n" not in str(error.value)


def test_the_two_sides_in_files_and_in_columns_may_be_mixed(table, write, make_config):
    sides = [write(side, f"{side}\n") for side in ("source", "target")]
    config = make_config(train_pairs=table, test_source=sides[0], test_target=sides[1])
    assert read_texts(config, "test") == [("source", "target")]
    assert config.held_out_split == "test"
    assert make_config(train_pairs=table).held_out_split == "validation"
    assert make_config(train_pairs=table, test_pairs=table).held_out_split == "test"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source_column": 0}, r"--data\.source-column must be at least 1, not 0"),
        ({"source_column": 2}, "are both 2: give two columns"),
        (
            {"dataset": "copy", "target_column": 3},
            "--data.target-column is set, but copy",
        ),
        (
            {"dataset": "copy", "train_pairs": "a"},
            "--data.train-pairs is set, but copy does not read it",
        ),
        ({"dataset": "copy", "test_references": ("a",)}, "--data.test-references is set, but copy"),
    ],
)
def test_impossible_fields_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        ParallelTextConfig(**{"dataset": "text_files", **fields})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"train_pairs": "a", "train_source": "b"},
            "--data.train-pairs and --data.train-source or",
        ),
        ({"train_source": "a", "train_target": "b", "target_column": 3}, "no file of pairs is giv"),
        ({"train_pairs": "a", "test_references": ("b",)}, "needs --data.test-source: give a file"),
        ({"train_pairs": "a", "validation_target": "b"}, "needs --data.validation-source"),
        ({}, r"needs --data.train-source: .*, or both sides .*--data\.train-pairs FILE"),
    ],
)
def test_files_that_do_not_fit_each_other_are_refused(fields, message, make_config):
    with pytest.raises(UserError, match=message):
        open_split(make_config(**fields), "train")


def test_without_validation_files_pairs_are_held_out(table, make_config):
    config = make_config(train_pairs=table)
    with pytest.warns(UserWarning, match="3 of 60 training pairs are held out for validation"):
        train = read_texts(config, "train")
    validation = read_texts(config, "validation")
    assert len(validation) == 60 // 20
    assert sorted(train + validation) == sorted(row[:2] for row in ROWS)
    split = "train[10%:20%]"
    other = dataclasses.replace(config, validation_split=split)
    assert len(read_texts(other, "train")) == len(open_split(other, "train")) == 60
    assert len(read_texts(other, split)) == len(open_split(other, split)) == 6


def hold_out(pairs):
    """The pairs to train on and those to validate on."""
    number, held_out = hold_out_sources(source for source, _ in pairs)
    assert number == len(pairs)
    validation = [pair for pair in pairs if pair[0] in held_out]
    assert len(validation) == sum(held_out.values())
    return [pair for pair in pairs if pair[0] not in held_out], validation


def test_no_source_is_on_both_sides_of_what_is_held_out():
    pairs = [(f"source {number % 400}", f"target {number}") for number in range(3000)]
    train, validation = hold_out(pairs)
    assert {source for source, _ in train}.isdisjoint(source for source, _ in validation)
    assert 150 <= len(validation) < 150 + 8
    again = hold_out([*pairs[:1500], *reversed(pairs[1500:])])
    assert set(again[1]) == set(validation)
    # No more than a thousand, and never all.
    assert len(hold_out([(str(number), "") for number in range(30_000)])[1]) == 1_000
    assert [len(side) for side in hold_out([("a", "b"), ("a", "c"), ("d", "e")])] in (
        [1, 2],
        [2, 1],
    )


def test_those_held_out_are_the_first_in_the_order_of_their_digests():
    sources = [f"source {number % 1700}" for number in range(5000)]
    order = sorted(set(sources), key=lambda text: hashlib.sha256(text.encode()).digest())
    _, held_out = hold_out_sources(sources)
    assert list(held_out) == order[: len(held_out)]
    assert all(held_out[source] == sources.count(source) for source in held_out)


@pytest.mark.parametrize("number", [1, 3])
def test_one_source_is_refused_with_the_number_of_pairs_and_what_to_give(number):
    needed = "at least two different sources, or --data.validation-source FILE and "
    with pytest.raises(UserError, match=f"^{number} training pair.* with one source .*{needed}"):
        hold_out_sources(["a"] * number)
    assert sum(hold_out_sources(["a"] * number + ["b"])[1].values()) in (1, number)


def test_further_translations_belong_to_their_pairs(table, write, make_config):
    further = [write(name, "".join(f"{name} {n}\n" for n in range(60))) for name in ("b", "c")]
    fields = {"validation_pairs": table, "validation_references": tuple(further)}
    config = make_config(train_pairs=table, **fields)
    assert references(config, "validation") == [
        (f"b {number}", f"c {number}") for number in range(60)
    ]
    assert references(config, "validation[7:9]") == [("b 7", "c 7"), ("b 8", "c 8")]
    assert set(references(config, "train")) == {()}
    assert read_texts(config, "train") == [row[:2] for row in ROWS]


def references(config, split) -> list[tuple[str, ...]]:
    return [pair.references for pair in read_pairs(config, split)]


def test_further_translations_must_be_as_many(table, write, make_config):
    short = write("b", "one\n")
    with pytest.raises(UserError, match=r"has 60 pairs but .*b has 1 lines: line N of one"):
        open_split(
            make_config(train_pairs=table, test_pairs=table, test_references=(short,)), "test"
        )
    sides = {"test_source": short, "test_target": short, "test_references": (table,)}
    with pytest.raises(UserError, match=r"b has 1 lines but .*pairs\.tsv has 60"):
        open_split(make_config(train_pairs=table, **sides), "test")


def test_relative_paths_become_absolute(make_config, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    config = make_config(train_pairs="a", test_references=("b", "~/c"), tokenizer="d.json")
    found = config.with_absolute_paths()
    assert (found.train_pairs, found.tokenizer) == (f"{tmp_path}/a", f"{tmp_path}/d.json")
    assert found.test_references[0] == f"{tmp_path}/b"
    assert found.test_references[1].endswith("/c")
    assert not found.test_references[1].startswith("~")


def test_tatoeba_is_read_as_it_is_unpacked(shared_dir, make_config, tmp_path):
    with zipfile.ZipFile(shared_dir("tatoeba") / "deu-eng.zip") as archive:
        path = archive.extract("deu.txt", tmp_path)
    pairs = list(read_columns(path, (2, 1)))
    assert len(pairs) == 169_197
    assert pairs[0] == ("Hallo!", "Hi.")
    train, validation = hold_out([(english, german) for german, english in pairs])
    assert len(train) + len(validation) == 169_197
    assert 1_000 <= len(validation) < 1_100
    with pytest.raises(UserError, match=r"deu\.txt, line 1 has no column 3, only 2: fix the line"):
        open_split(make_config(train_pairs=str(path), target_column=3), "train")
