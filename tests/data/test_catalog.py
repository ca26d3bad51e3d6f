"""What holds for every data set of the registry, and that one may be added from outside."""

import dataclasses
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image
from prepared import read_splits, read_texts

from flax_transformer.data.datasets.conllu import TaggedWordsConfig
from flax_transformer.data.datasets.datasets import DATASETS, Dataset, open_split
from flax_transformer.data.datasets.prepared import builder_of
from flax_transformer.data.datasets.split import Split
from flax_transformer.data.labeled_text_config import LabeledTextConfig
from flax_transformer.data.parallel_text_config import ParallelTextConfig
from flax_transformer.data.pixels_config import ImagesConfig, VideosConfig
from flax_transformer.data.plain_text_config import PlainTextConfig
from flax_transformer.data.tokens.tokenized_splits import make_tokenizer, tokenize_stream
from flax_transformer.errors import UserError

CONFIGS = (
    *(ParallelTextConfig, PlainTextConfig, LabeledTextConfig, TaggedWordsConfig),
    *(ImagesConfig, VideosConfig),
)
BY_KIND = {config.kind: config for config in CONFIGS}
FEATURES = {
    "pair": {"source", "target"},
    "text": {"text"},
    "labeled_text": {"text", "label"},
    "tagged_words": {"words", "tags"},
    "image": {"image", "label"},
    "video": {"video", "label"},
}
BUILT_IN = ("number_words", "copy", "reverse", "sort", "digits", "moving_digits")
OWN = ("text_files", "plain_text", "labeled_text", "conllu", "image_folders", "video_folders")
PUBLISHED = set(DATASETS) - {*BUILT_IN, *OWN}


def make_config(folder: pathlib.Path, name: str) -> Any:
    """The config of a data set, of the user's own if it takes files."""
    folder.mkdir(exist_ok=True)
    text, table = folder / "text.txt", folder / "table.csv"
    text.write_text("one two")
    table.write_text("text,label\none,odd\ntwo,even\n")
    for label in ("cat", "dog"):
        (folder / "own" / "train" / label).mkdir(parents=True)
        Image.new("RGB", (3, 5)).save(folder / "own" / "train" / label / "a.png")
    given = {"train_text": text, "train_file": table, "folder": folder / "own"}
    given |= {f"{split}_pairs": folder / "pairs.tsv" for split in ("train", "validation")}
    (folder / "pairs.tsv").write_text("eins\tone\n")
    fields: Any = {key: str(path) for key, path in given.items() if key in DATASETS[name].reads}
    if name == "conllu":
        fields["train_file"] = str(folder / "words.conllu")
        (folder / "words.conllu").write_text("1\tone\tone\tNUM\t_\t_\t0\troot\t_\t_\n\n")
    config = BY_KIND[DATASETS[name].kind]
    return config(dataset=name, data_dir=str(folder / "prepared"), **fields)


@pytest.mark.parametrize("name", [*OWN, *BUILT_IN])
def test_records_are_what_the_kind_says(name, tmp_path):
    if name == "digits":
        pytest.importorskip("sklearn", reason="needs the extra images")
    split = open_split(make_config(tmp_path, name), "train")
    assert set(split.first(1)[0]) == FEATURES[DATASETS[name].kind]
    if "label" in split.first(1)[0]:
        assert len(set(split.class_names)) == len(split.class_names) > 1
        assert {type(record["label"]) for record in split} == {int}
    assert split.folder.is_dir()
    assert len(split.digest) == 64


@pytest.mark.parametrize("name", DATASETS)
def test_an_entry_reads_fields_of_its_config(name):
    config = BY_KIND[DATASETS[name].kind]
    fields = {field.name for field in dataclasses.fields(config)}
    assert set(DATASETS[name].reads) <= fields
    assert ("manual_dir" in DATASETS[name].reads) == (name in PUBLISHED)


def test_no_name_is_taken_by_tfds(tmp_path):
    """Data prepared by a builder of TFDS must not be read by one of ours, or the reverse."""
    listed = "tfds.list_builders(with_community_datasets=False)"
    script = f"import tensorflow_datasets as tfds; print(*{listed})"  # without ours
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    known = set(result.stdout.decode().split())
    assert {"trec", "fashion_mnist"} <= known
    ours = set[str](OWN)
    for name in (*BUILT_IN, *PUBLISHED):
        config = make_config(tmp_path / name, name)
        module = name if name not in ("copy", "reverse", "sort") else "letters"
        recipes: Any = __import__(f"flax_transformer.data.datasets.{module}", fromlist=["recipe"])
        ours.add(builder_of(recipes.recipe(config), config).name)
    assert len(ours) == len(DATASETS) - 2  # three orders of letters have one builder
    assert not ours & known


def test_listing_them_does_not_import_tfds():
    script = "import sys, flax_transformer.data.datasets.datasets; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    modules = set(result.stdout.decode().split())
    assert "flax_transformer.data.datasets.datasets" in modules
    assert not modules & {"tensorflow_datasets", "PIL", "jax", "tokenizers"}


def test_a_users_own_files_do_not_import_tfds(tmp_path):
    make_config(tmp_path, "text_files")
    script = (
        "import sys\n"
        "from flax_transformer.data.parallel_text_config import ParallelTextConfig\n"
        "from flax_transformer.data.tokens.tokenized_splits import *\n"
        f"path = {str(tmp_path / 'pairs.tsv')!r}\n"
        f"config = ParallelTextConfig('text_files', data_dir={str(tmp_path / 'made')!r},\n"
        "    train_pairs=path, validation_pairs=path)\n"
        "tokenize_pairs(config, make_tokenizer(config), 'train')\n"
        "print(*sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert not set(result.stdout.decode().split()) & {"tensorflow_datasets", "jax"}


def test_a_data_set_may_be_added_from_outside(tmp_path, monkeypatch):
    texts = {"train": "to be or not", "validation": "to be"}

    def open_mine(config: PlainTextConfig, split: str) -> Split:
        record = {"text": texts[split] + (config.train_text or "")}
        return Split(split, 1, lambda: iter([record]), tmp_path, "of the digest")

    mine = Dataset("a line of a play", "text", open_mine, reads=("train_text",))
    monkeypatch.setitem(DATASETS, "mine", mine)
    config = PlainTextConfig("mine", train_text="!", tokens="characters")
    assert read_splits(config, "train") == {"train": [{"text": "to be or not!"}]}
    tokenizer = make_tokenizer(config)
    stream = tokenize_stream(config, tokenizer, "validation")
    assert tokenizer.decode(stream[1:]) == "to be!"
    assert isinstance(stream, np.memmap)
    # It is checked as the others are, and is of its own kind only.
    with pytest.raises(
        UserError, match=r"--data.validation-text is set, but mine does not read it"
    ):
        PlainTextConfig("mine", validation_text="a.txt")
    with pytest.raises(UserError, match=r"unknown --data.dataset 'mine'"):
        open_split(ParallelTextConfig("mine"), "train")
    monkeypatch.setitem(DATASETS, "theirs", mine._replace(kind="pair", reads=(), open=open_pairs))
    assert read_texts(ParallelTextConfig("theirs"), "train") == [("eins", "one")]


def open_pairs(config: ParallelTextConfig, split: str) -> Split:
    record = {"source": "eins", "target": "one"}
    return Split(split, 1, lambda: iter([record]), pathlib.Path("nowhere"), "of pairs")
