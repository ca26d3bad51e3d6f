"""The published data sets of labelled sentences, against the counts of their authors."""

import collections
import pathlib
from typing import Any

import pytest
from prepared import read_splits

from flax_transformer.data.datasets import sst2, trec
from flax_transformer.errors import UserError


def prepare(builder: Any, folder: pathlib.Path, tmp_path: pathlib.Path) -> tuple[Any, dict]:
    made = builder(manual_dir=str(folder), data_dir=str(tmp_path), file_format="array_record")
    return made, read_splits(made)


def test_sst2_has_its_sizes_and_classes(shared_dir, tmp_path):
    builder, splits = prepare(sst2.Sst2Sentences, shared_dir("sst2"), tmp_path)
    assert builder.info.features["label"].names == ["negative", "positive"]
    counts = {
        split: (len(examples), sum(x["label"] for x in examples))
        for split, examples in splits.items()
    }
    assert counts == {"train": (6_920, 3_610), "validation": (872, 444), "test": (1_821, 909)}
    first = splits["validation"][0]
    assert (first["text"], first["label"]) == (b"one long string of cliches", 0)


def test_trec_has_its_sizes_and_classes(shared_dir, tmp_path):
    builder, splits = prepare(trec.TrecQuestions, shared_dir("trec"), tmp_path)
    assert {split: len(examples) for split, examples in splits.items()} == {
        "train": 5_452,
        "test": 500,
    }
    names = builder.info.features["label"].names
    assert names == list(trec.CLASSES.values())
    lines = (shared_dir("trec") / "test.txt").read_text("latin-1").splitlines()
    marks = collections.Counter(line.partition(":")[0] for line in lines)
    assert collections.Counter(x["label"] for x in splits["test"]) == {
        list(trec.CLASSES).index(mark): count for mark, count in marks.items()
    }
    asked = {x["text"].decode(): names[x["label"]] for x in splits["test"]}
    assert asked["How far is it from Denver to Aspen ?"] == "number"
    assert asked["Who was Galileo ?"] == "human"


@pytest.mark.parametrize("builder", [sst2.Sst2Sentences, trec.TrecQuestions])
def test_another_file_of_the_same_name_is_refused(builder, tmp_path):
    for name in builder.PUBLISHED.sha256:
        (tmp_path / name).write_text("good\t1\n")
    with pytest.raises(UserError, match=r"train\.t.. \(7 bytes\) is not .*'s train\.t..: fetch it"):
        prepare(builder, tmp_path, tmp_path)
    assert not list(tmp_path.rglob("*array_record*"))
