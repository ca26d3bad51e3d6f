import pathlib
import shutil

import pytest
from prepared import read_splits

from flax_transformer.data.datasets import tinyshakespeare
from flax_transformer.data.plain_text_config import PlainTextConfig
from flax_transformer.errors import UserError


def make(tmp_path: pathlib.Path, folder: pathlib.Path | None) -> dict[str, list[dict]]:
    manual_dir = None if folder is None else str(folder)
    config = PlainTextConfig(manual_dir=manual_dir, data_dir=str(tmp_path / "prepared"))
    return read_splits(config, "train", "validation")


def test_the_splits_are_the_text_cut_where_nanogpt_cuts_it(shared_dir, tmp_path):
    folder = shared_dir("tinyshakespeare")
    splits = make(tmp_path, folder)
    train, validation = (splits[split][0]["text"] for split in ("train", "validation"))
    assert {split: len(examples) for split, examples in splits.items()} == {
        "train": 1,
        "validation": 1,
    }
    # The sizes that nanoGPT's prepare.py prints.
    assert (len(train), len(validation)) == (1_003_854, 111_540)
    assert train + validation == (folder / "input.txt").read_text("utf-8")
    assert len(set(train)) == 65


def test_a_damaged_file_is_refused_and_nothing_written(shared_dir, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    shutil.copyfile(shared_dir("tinyshakespeare") / "input.txt", folder / "input.txt")
    with open(folder / "input.txt", "r+b") as file:
        file.truncate(1_009)
    with pytest.raises(UserError, match=r"input\.txt \(1,009 bytes\) is not tinyshakespeare's"):
        make(tmp_path, folder)
    assert not list(tmp_path.rglob("*array_record*"))


def test_a_folder_without_the_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds neither input\.txt nor input\.txt\.gz: give"):
        make(tmp_path, tmp_path)


def test_no_network_asks_for_the_file(tmp_path, monkeypatch):
    nowhere = tinyshakespeare.recipe(None)._replace(url="http://127.0.0.1:9/nothing")
    monkeypatch.setattr(tinyshakespeare, "recipe", lambda config: nowhere)
    with pytest.raises(UserError, match=r"cannot download tinyshakespeare .* give --data\.manual"):
        make(tmp_path, None)
