"""What holds for every data set of the catalogue."""

import inspect
import pathlib
import subprocess
import sys
from typing import Any

import pytest
import tensorflow_datasets as tfds
from flax_transformer.data.datasets.catalogue import KINDS
from flax_transformer.data.datasets.parallel_datasets import DATASETS
from PIL import Image

FEATURES = {
    "text": {"text"},
    "labelled_text": {"text", "label"},
    "image": {"image", "label"},
    "video": {"video", "label"},
}
ENTRIES = [(kind, name) for kind, entries in KINDS.items() for name in entries]


def arguments(folder: pathlib.Path, takes: tuple[str, ...]) -> dict[str, Any]:
    """Gives a small data set of the user's own to what takes one."""
    text, table = folder / "text.txt", folder / "table.csv"
    text.write_text("one two")
    table.write_text("text,label\none,odd\ntwo,even\n")
    for name in ("cat", "dog"):
        (folder / "train" / name).mkdir(parents=True)
        Image.new("RGB", (3, 5)).save(folder / "train" / name / "a.png")
    given = {"train_text": str(text), "train_file": str(table), "folder": str(folder)}
    return {name: given[name] for name in takes if name in given}


def make(folder: pathlib.Path, kind: str, name: str) -> Any:
    (folder / "own").mkdir(parents=True)
    entry = KINDS[kind][name]
    return entry.builder(
        data_dir=str(folder / "prepared"), **arguments(folder / "own", entry.takes)
    )


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_examples_are_what_the_kind_says(kind, name, tmp_path):
    features = make(tmp_path, kind, name).info.features
    assert set(features) == FEATURES[kind]
    if "label" in features:
        names = features["label"].names
        assert len(set(names)) == len(names) == features["label"].num_classes > 1


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_an_entry_names_the_arguments_of_its_builder(kind, name, tmp_path):
    base, own = (
        inspect.signature(builder.__init__).parameters
        for builder in (tfds.core.GeneratorBasedBuilder, type(make(tmp_path, kind, name)))
    )
    named = (x for x in own if x not in base and own[x].kind is inspect.Parameter.KEYWORD_ONLY)
    assert tuple(named) == KINDS[kind][name].takes


def test_no_name_is_used_twice_nor_taken_by_tfds(tmp_path):
    """Data prepared by a builder of TFDS must not be read by one of ours, or the reverse."""
    names = [name for _, name in ENTRIES]
    assert len({*names, *DATASETS}) == len(names) + len(DATASETS)
    listed = "tfds.list_builders(with_community_datasets=False)"
    script = f"import tensorflow_datasets as tfds; print(*{listed})"  # without ours
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    known = set(result.stdout.decode().split())
    assert {"trec", "fashion_mnist"} <= known
    ours = {make(tmp_path / name, kind, name).name for kind, name in ENTRIES}
    assert len(ours) == len(ENTRIES)
    assert not ours & known


def test_listing_them_does_not_import_tfds():
    script = "import sys, flax_transformer.data.datasets.catalogue; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    modules = set(result.stdout.decode().split())
    assert "flax_transformer.data.datasets.catalogue" in modules
    assert not modules & {"tensorflow_datasets", "PIL", "jax"}
