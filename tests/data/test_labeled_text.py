import gzip
import pathlib
from typing import Any

import pytest
from prepared import read_splits

from flax_transformer.data.datasets.datasets import open_split
from flax_transformer.data.datasets.labeled_text import read_table
from flax_transformer.data.labeled_text_config import LabeledTextConfig
from flax_transformer.errors import UserError


@pytest.fixture
def write(tmp_path):
    """Writes a file of that name and gives its path."""

    def write(name: str, contents: str | bytes) -> str:
        path = tmp_path / name
        path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
        return str(path)

    return write


def prepare(tmp_path: pathlib.Path, **files: str) -> tuple[tuple[str, ...], dict]:
    given: Any = {f"{split}_file": path for split, path in files.items()}
    config = LabeledTextConfig("labeled_text", data_dir=str(tmp_path / "prepared"), **given)
    return open_split(config, "train").class_names, read_splits(config, *files)


def table(path: str) -> list[tuple[int, str, str]]:
    return list(read_table(path))


def test_classes_are_the_training_labels(write, tmp_path):
    train = write("train.csv", "text,label\ngood,yes\nbad,no\nfine,yes\n")
    test = write("test.tsv", "label\ttext\nyes\tnice, too\n")
    names, splits = prepare(tmp_path, train=train, test=test)
    assert names == ("no", "yes")
    assert [(x["text"], x["label"]) for x in splits["train"]] == [
        ("good", 1),
        ("bad", 0),
        ("fine", 1),
    ]
    assert [(x["text"], x["label"]) for x in splits["test"]] == [("nice, too", 1)]


def test_changed_files_are_prepared_anew(write, tmp_path):
    prepare(tmp_path, train=write("train.csv", "text,label\na,b\nc,d\n"))
    _, splits = prepare(tmp_path, train=write("train.csv", "text,label\na,b\ne,d\n"))
    assert [x["text"] for x in splits["train"]] == ["a", "e"]


def test_quotes_enclose_in_a_csv_and_are_characters_in_a_tsv(write):
    quoted = '"one, ""two""\nthree"'
    in_csv = table(write("a.csv", f"text,label\n\n{quoted},x\nfour,y\n"))
    assert in_csv == [(3, 'one, "two"\nthree', "x"), (5, "four", "y")]
    in_tsv = table(write("a.tsv", 'label\ttext\nx\t"one, two\n'))
    assert in_tsv == [(2, '"one, two', "x")]


def test_a_label_is_one_line_however_it_is_written(write):
    assert table(write("a.csv", 'text,label\na,"very\n good "\n')) == [(2, "a", "very good")]


def test_other_columns_endings_and_packing_do_not_matter(write):
    contents = gzip.compress("\ufeffid,Label,Text\r\n7,x,größer\u2028noch\r\n".encode())
    assert table(write("a.csv.gz", contents)) == [(2, "größer\u2028noch", "x")]


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("a.csv", "text,lable\na,b\n", r"line 1 names no column 'label': rename 'lable', or begin"),
        ("a.csv", "good film,1\n", r"line 1 names no column 'text': begin the file with a line"),
        ("a.csv", "text,label,text\na,b,c\n", r"line 1 names two columns 'text': begin"),
        ("a.csv", "text,label\na,b\nc, d,e\n", r"line 3 has 3 columns, but line 1 names 2: fix"),
        ("a.csv", "text,label\na,b\nc,\n", r"line 3 has no label: write one"),
        ("a.tsv", "text\tlabel\n \tb\n", r"line 2 has no text: write one"),
        ("a.csv", 'text,label\n"a,b\n', r"line 2 cannot be read \(unexpected end of data\)"),
        ("a.csv", "text,label\n", r"has no line below its columns' names"),
        ("a.csv", "", r"line 1 names no column 'text'"),
        ("a.csv", b"text,label\nschl\xe4cht,1\n", r"line 2 is not UTF-8"),
        ("a.txt", "text,label\n", r"ends in neither \.csv nor \.tsv"),
    ],
)
def test_a_mistake_is_told_in_a_line_that_names_its_place(name, contents, message, write):
    path = write(name, contents)
    with pytest.raises(UserError, match=message) as error:
        table(path)
    assert str(error.value).startswith(path)
    assert "\n" not in str(error.value)


def test_labels_that_no_model_could_learn_are_refused(write, tmp_path):
    train = write("train.csv", "text,label\na,good\nb,bad\n")
    other = write("test.csv", "text,label\nc,bad\nd,goood\n")
    with pytest.raises(UserError, match=r"test\.csv, line 3: 'goood': did you mean 'good'\?"):
        prepare(tmp_path, train=train, test=other)
    single = write("single.csv", "text,label\na,good\n")
    with pytest.raises(UserError, match=r"single\.csv has no label but 'good': give examples"):
        prepare(tmp_path, train=single)
    with pytest.raises(UserError, match=r"needs --data\.train-file"):
        prepare(tmp_path, test=other)
    assert not list(tmp_path.rglob("found.json"))
