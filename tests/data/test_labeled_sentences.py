"""The published data sets of labeled sentences, against the counts of their authors."""

import collections
import pathlib

import pytest
from prepared import read_splits

from flax_transformer.data.datasets import sst2, trec
from flax_transformer.data.datasets.datasets import open_split
from flax_transformer.data.labeled_text_config import LabeledTextConfig
from flax_transformer.errors import UserError


def prepare(name: str, folder: pathlib.Path, tmp_path: pathlib.Path) -> tuple[list[str], dict]:
    config = LabeledTextConfig(name, manual_dir=str(folder), data_dir=str(tmp_path))
    names = [
        split for split in ("train", "validation", "test") if name == "sst2" or split[0] == "t"
    ]
    return list(open_split(config, "train").class_names), read_splits(config, *names)


def test_sst2_has_its_sizes_and_classes(shared_dir, tmp_path):
    names, splits = prepare("sst2", shared_dir("sst2"), tmp_path)
    assert names == ["negative", "positive"]
    counts = {
        split: (len(examples), sum(x["label"] for x in examples))
        for split, examples in splits.items()
    }
    assert counts == {"train": (6_920, 3_610), "validation": (872, 444), "test": (1_821, 909)}
    first = splits["validation"][0]
    assert (first["text"], first["label"]) == ("one long string of cliches", 0)


def test_trec_has_its_sizes_and_classes(shared_dir, tmp_path):
    names, splits = prepare("trec", shared_dir("trec"), tmp_path)
    assert {split: len(examples) for split, examples in splits.items()} == {
        "train": 5_452,
        "test": 500,
    }
    assert names == list(trec.CLASSES.values())
    lines = (shared_dir("trec") / "test.txt").read_text("latin-1").splitlines()
    marks = collections.Counter(line.partition(":")[0] for line in lines)
    assert collections.Counter(x["label"] for x in splits["test"]) == {
        list(trec.CLASSES).index(mark): count for mark, count in marks.items()
    }
    asked = {x["text"]: names[x["label"]] for x in splits["test"]}
    assert asked["How far is it from Denver to Aspen ?"] == "number"
    assert asked["Who was Galileo ?"] == "human"


@pytest.mark.parametrize("module", [sst2, trec])
def test_another_file_of_the_same_name_is_refused(module, tmp_path):
    for name in module.recipe(None).sha256:
        (tmp_path / name).write_text("good\t1\n")
    with pytest.raises(UserError, match=r"train\.t.. \(7 bytes\) is not .*'s train\.t..: download"):
        prepare(module.__name__.rpartition(".")[2], tmp_path, tmp_path)
    assert not list(tmp_path.rglob("*array_record*"))
