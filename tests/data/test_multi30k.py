import gzip
import pathlib
import shutil
from typing import Any

import pytest
from prepared import read_texts

from flax_transformer.data.datasets import multi30k
from flax_transformer.data.datasets.datasets import open_split
from flax_transformer.data.datasets.published import find
from flax_transformer.data.parallel_text_config import ParallelTextConfig
from flax_transformer.errors import UserError

SIZES = {
    "train": 29_000,
    "validation": 1_014,
    "test_2016_flickr": 1_000,
    "test_2017_flickr": 1_000,
}


def last_line(path: pathlib.Path) -> str:
    return gzip.open(path, "rt", encoding="utf-8").read().rstrip("\n").split("\n")[-1]


@pytest.mark.parametrize(
    ("form", "folder"), [("raw", "."), ("tokenized", "."), ("tokenized", "tok")]
)
def test_both_forms_are_read_line_by_line(multi30k_dir, tmp_path, form, folder):
    files = pathlib.Path(multi30k_dir)
    config = ParallelTextConfig(
        dataset="multi30k",
        form=form,
        target_language="fr",
        manual_dir=str(files / folder),
        data_dir=str(tmp_path),
    )
    assert {split: len(open_split(config, split)) for split in SIZES} == SIZES
    stem = files / ("test_2017_flickr" if form == "raw" else "tok/test_2017_flickr.lc.norm.tok")
    lines = tuple(last_line(pathlib.Path(f"{stem}.{language}.gz")) for language in ("en", "fr"))
    assert read_texts(config, "test_2017_flickr")[-1] == lines


def test_unpacked_and_packed_files_are_found(tmp_path):
    (tmp_path / "tok").mkdir()
    packed, unpacked = tmp_path / "train.en.gz", tmp_path / "tok" / "val.lc.norm.tok.de"
    packed.touch()
    unpacked.touch()
    assert find(tmp_path, "train.en", ["raw"], "") == packed
    assert find(tmp_path, "val.lc.norm.tok.de", ["tok"], "") == unpacked


def test_a_folder_without_the_files_is_refused(tmp_path):
    config = ParallelTextConfig(
        dataset="multi30k", manual_dir=str(tmp_path), data_dir=str(tmp_path)
    )
    with pytest.raises(UserError, match=r"holds neither train\.en nor train\.en\.gz: give"):
        open_split(config, "train")


def test_a_file_cut_short_is_refused_by_name(multi30k_dir, tmp_path):
    files = tmp_path / "files"
    shutil.copytree(multi30k_dir, files, ignore=shutil.ignore_patterns("tok"))
    (files / "val.de.gz").unlink()
    (files / "val.de").write_text("Nur eine Zeile.\n")
    config = ParallelTextConfig(dataset="multi30k", manual_dir=str(files), data_dir=str(tmp_path))
    with pytest.raises(UserError, match=r"val\.de \(16 bytes\) is not Multi30k's val\.de"):
        open_split(config, "train")
    assert not list(tmp_path.rglob("*array_record*"))


def test_no_network_asks_for_the_files(tmp_path, monkeypatch):
    monkeypatch.setattr(multi30k, "URL", "http://127.0.0.1:9/nothing-listens-here")
    config = ParallelTextConfig(dataset="multi30k", data_dir=str(tmp_path))
    with pytest.raises(UserError, match=r"cannot download Multi30k .* give --data\.manual-dir"):
        open_split(config, "train")


def test_addresses_are_those_of_the_authors_files():
    form: Any
    for form, address in (("raw", "raw/val.de.gz"), ("tokenized", "tok/val.lc.norm.tok.de")):
        published: Any = multi30k.recipe(ParallelTextConfig("multi30k", form=form))
        addresses = [
            f"{published.url}/{name}{'.gz' * published.packed}" for name in published.sha256
        ]
        assert f"{multi30k.URL}/{address}" in addresses
    assert multi30k.URL.endswith("/data/task1")
