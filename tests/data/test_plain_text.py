import pathlib
from typing import Any

import pytest
from prepared import read_splits

from flax_transformer.data.plain_text_config import PlainTextConfig
from flax_transformer.errors import UserError


def texts(tmp_path: pathlib.Path, **paths: pathlib.Path) -> dict[str, list[str]]:
    given: Any = {f"{split}_text": str(path) for split, path in paths.items()}
    config = PlainTextConfig("plain_text", data_dir=str(tmp_path / "prepared"), **given)
    splits = read_splits(config, "train", "validation")
    return {split: [x["text"] for x in examples] for split, examples in splits.items()}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "documents"
    (folder / "deep").mkdir(parents=True)
    (folder / "b.txt").write_bytes("zwölf\r\n".encode() * 7)
    (folder / "deep" / "a.txt").write_text("elf")
    (folder / "notes.md").write_text("no document")
    return folder


def test_a_text_is_kept_character_by_character(tmp_path):
    path = tmp_path / "any.name"
    path.write_bytes("ein\r\nU+2028: \u2028 und\fmehr\n\n".encode())
    splits = texts(tmp_path, train=path)
    assert list(splits) == ["train", "validation"]
    assert "".join(splits["train"] + splits["validation"]).encode() == path.read_bytes()


def test_a_folder_is_its_text_files_each_with_its_end_held_out(folder, tmp_path):
    whole = ["zwölf\r\n" * 7, "elf"]
    splits = texts(tmp_path, train=folder)
    assert [a + b for a, b in zip(splits["train"], splits["validation"], strict=True)] == whole
    assert list(map(len, splits["train"])) == [49 * 9 // 10, 2]


def test_validation_files_leave_the_training_text_whole(folder, tmp_path):
    other = tmp_path / "other"
    other.write_text("eins, zwei")
    assert texts(tmp_path, train=other, validation=folder / "deep") == {
        "train": ["eins, zwei"],
        "validation": ["elf"],
    }


def test_changed_files_are_prepared_anew(folder, tmp_path):
    texts(tmp_path, train=folder / "deep")
    (folder / "deep" / "a.txt").write_text("dreizehn")
    assert texts(tmp_path, train=folder / "deep")["train"] == ["dreizeh"]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"gut\nschl\xe4cht\n", "one.txt, line 2 is not UTF-8"),
        (b"x", "one.txt has 1 characters: give text"),
        (b"PK\x03\x04", "one.txt is a zip archive"),
    ],
)
def test_what_is_no_text_is_refused(contents, message, tmp_path):
    (tmp_path / "one.txt").write_bytes(contents)
    with pytest.raises(UserError, match=message):
        texts(tmp_path, train=tmp_path)
    assert not list(tmp_path.rglob("found.json"))


def test_a_folder_without_text_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no \.txt file: give"):
        texts(tmp_path, train=tmp_path)
    with pytest.raises(UserError, match="nothing does not exist"):
        texts(tmp_path, train=tmp_path / "nothing")
