import gzip

import pytest
from prepared import read_texts

from flax_transformer.data.datasets.datasets import open_split
from flax_transformer.data.files.text_files import read_lines, read_parallel
from flax_transformer.data.parallel_text_config import ParallelTextConfig
from flax_transformer.errors import UserError

pytestmark = pytest.mark.platforms


@pytest.fixture
def make_config(tmp_path):
    """Writes the files of a data set from their contents and gives its configuration."""

    def make(train=("one\ntwo\n", "eins\nzwei\n"), validation=("three\n", "drei\n"), **fields):
        paths = {}
        for split, sides in {"train": train, "validation": validation}.items():
            for side, text in zip(("source", "target"), sides, strict=True):
                path = tmp_path / f"{split}.{side}"
                path.write_bytes(text if isinstance(text, bytes) else text.encode())
                paths[f"{split}_{side}"] = str(path)
        data_dir = str(tmp_path / "prepared")
        return ParallelTextConfig(dataset="text_files", data_dir=data_dir, **{**paths, **fields})

    return make


def test_lines_are_pairs_in_their_order(make_config):
    config = make_config()
    assert read_texts(config, "train") == [("one", "eins"), ("two", "zwei")]
    assert read_texts(config, "validation") == [("three", "drei")]


def test_changed_files_are_prepared_anew(make_config):
    open_split(make_config(), "train")
    changed = make_config(train=("five\n", "fünf\n"))
    assert read_texts(changed, "train") == [("five", "fünf")]


def test_gzipped_files_are_unpacked(make_config):
    config = make_config(train=(gzip.compress("één\n".encode()), "ein\n"))
    assert read_texts(config, "train") == [("één", "ein")]


def test_test_files_are_a_split_of_their_own(make_config, tmp_path):
    path = tmp_path / "test"
    path.write_text("seven\n")
    config = make_config(test_source=str(path), test_target=str(path))
    assert read_texts(config, "test") == [("seven", "seven")]


def test_a_test_split_without_files_says_what_to_give(make_config):
    with pytest.raises(UserError, match=r"; give --data\.test-source and --data\.test-target"):
        open_split(make_config(), "test")


def test_only_a_line_feed_ends_a_line(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes("\ufeffa\u2028b\x85c\x0cd\r\n\r\n e \nlast".encode())
    assert list(read_lines(path)) == ["a\u2028b\x85c\x0cd", "", " e ", "last"]


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (("1\n2\n3\n", "1\n2\n"), r"train\.source has 3 lines but .*train\.target has 2:"),
        (("1\n", ""), r"train\.target is empty"),
        ((b"1\n\xff\n", "1\n2\n"), r"train\.source, line 2 is not UTF-8"),
        ((gzip.compress(b"1\n")[:-9], "1\n"), r"cannot read .*train\.source"),
    ],
)
def test_bad_files_are_refused_and_leave_nothing_behind(make_config, tmp_path, train, message):
    with pytest.raises(UserError, match=message) as error:
        open_split(make_config(train=train), "train")
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "prepared").rglob("found.json"))


def test_a_missing_file_and_a_folder_are_refused(make_config, tmp_path):
    with pytest.raises(UserError, match="nowhere does not exist"):
        open_split(make_config(train_source=str(tmp_path / "nowhere")), "train")
    with pytest.raises(UserError, match="is a folder"):
        open_split(make_config(train_target=str(tmp_path)), "train")


def test_files_of_one_length_are_read_together(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(f"{name}1\n{name}2\n")
    lines = read_parallel(*(tmp_path / name for name in ("a", "b", "c")))
    assert list(lines) == [("a1", "b1", "c1"), ("a2", "b2", "c2")]
