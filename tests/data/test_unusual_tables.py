"""Tables written by spreadsheets and other programs are read; other files are refused."""

import csv
import gzip

import pytest

from flax_transformer.data.datasets.datasets import open_split
from flax_transformer.data.datasets.labeled_text import Row, read_table
from flax_transformer.data.labeled_text_config import LabeledTextConfig
from flax_transformer.errors import UserError


@pytest.fixture
def read(tmp_path):
    """Writes a file of that name and reads it."""

    def read(name: str, contents: str | bytes) -> list[Row]:
        path = tmp_path / name
        path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
        return list(read_table(str(path)))

    return read


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_a_field_may_have_any_length(name, read):
    separator = {"a.csv": ",", "a.tsv": "\t"}[name]
    text = "Ab " * 700_000
    before = csv.field_size_limit()
    table = read(name, f"text{separator}label\n{text}{separator}long\nb{separator}short\n")
    assert table == [(2, text.strip(), "long"), (3, "b", "short")]
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_csv_may_have_another_separator(separator, read):
    rows = [["id", "text", "label"], ["1", '"one, two; three\tfour"', "x"], ["2", "3,5", "y"]]
    table = read("a.csv", "".join(separator.join(row) + "\r\n" for row in rows))
    assert table == [(2, "one, two; three\tfour", "x"), (3, "3,5", "y")]


def test_a_semicolon_in_a_column_name_separates_nothing(read):
    assert read("a.csv", "text,label,a;b\none,x,2;3\n") == [(2, "one", "x")]


@pytest.mark.parametrize("blank", ["", ",", " ", " , ", ",,,,"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_blank_lines_are_left_out_wherever_they_are(blank, end, read):
    lines = [blank, "text,label", blank, "one,x", blank, "two,y", blank, blank]
    assert read("a.csv", end.join(lines)) == [(4, "one", "x"), (6, "two", "y")]


def test_a_byte_order_mark_and_capitals_in_the_name_do_not_matter(read):
    contents = gzip.compress("\ufefftext,label\nä,x\n".encode())
    assert read("A.CSV.GZ", contents) == [(2, "ä", "x")]


def test_quotes_may_enclose_lines_and_errors_name_the_first_of_them(read):
    assert read("a.csv", 'text,label\n"a\r\n\r\nb",x\r\nc,y') == [
        (2, "a\r\n\r\nb", "x"),
        (5, "c", "y"),
    ]
    with pytest.raises(UserError, match=r"a\.csv, line 4 cannot be read .*: fix it"):
        read("a.csv", 'text,label\n"a\nb",x\n"c\nd,y\n')


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("text,label\none,x\n".encode("utf-16"), "is UTF-16, not UTF-8 text: convert it"),
        ("text,label\none,x\n".encode("utf-16-le"), "line 1 holds a NUL character"),
        (b"text,label\none,x\nt\0wo,y\n", "line 3 holds a NUL character"),
        (b"text,label\rone,x\r", "ends its lines in carriage returns only"),
        (b"text;label\none;x;2\n", r"line 2 has 3 columns, but line 1 names 2: fix the line"),
        (b"text,label,Label\none,x,y\n", "names two columns 'label'"),
        (b"PK\x03\x04 a spreadsheet", "is a zip archive"),
        (b",\n\n", "names no column 'text'"),
    ],
)
def test_what_is_no_table_is_told_in_one_line(contents, message, read):
    with pytest.raises(UserError, match=message) as error:
        read("a.csv", contents)
    assert "\n" not in str(error.value)


def test_a_split_without_a_file_names_the_option_of_the_file(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("text,label\na,1\nb,2\n")
    config = LabeledTextConfig(
        dataset="labeled_text", train_file=str(path), data_dir=str(tmp_path / "prepared")
    )
    with pytest.raises(UserError, match=r"'validation'.*; give --data.validation-file"):
        open_split(config, "validation")
