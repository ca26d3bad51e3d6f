"""A training goes on only with the files that it began with."""

import dataclasses
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import signal

import numpy as np
import pytest
from interrupted import interrupt_batches
from PIL import Image
from rich.console import Console
from small import make_experiment, with_fields

from flax_transformer.data.datasets.datasets import open_split
from flax_transformer.data.files import source_files
from flax_transformer.data.labeled_text_config import LabeledTextConfig
from flax_transformer.data.pixels_config import ImagesConfig
from flax_transformer.data.plain_text_config import PlainTextConfig
from flax_transformer.errors import UserError
from flax_transformer.training import loop
from flax_transformer.training.assemble import evaluate
from flax_transformer.training.durability.data_fingerprints import DataFiles
from flax_transformer.training.durability.resume_proof import differences

LATER = 10**9  # nanoseconds


def make(folder):
    experiment = make_experiment(folder / "data")
    return with_fields(experiment, "training", num_steps=4, checkpoint_every_steps=2)


def train(experiment, path) -> str:
    printed = io.StringIO()
    loop.train(experiment, path, Console(file=printed))
    return printed.getvalue()


def interrupted(experiment, path):
    with pytest.MonkeyPatch.context() as patch:
        interrupt_batches(patch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(KeyboardInterrupt):
            train(experiment, path)


def touch(path):
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + LATER))


def rewrite(path, old: bytes, new: bytes):
    """Changes the contents and the time, but not the size."""
    contents = path.read_bytes()
    assert old in contents
    assert len(old) == len(new)
    path.write_bytes(contents.replace(old, new))
    touch(path)


@pytest.mark.usefixtures("quickly_compiled")
def test_a_training_whose_file_changed_is_refused_and_goes_on_when_it_is_back(tmp_path):
    experiment = make(tmp_path)
    source = tmp_path / "data" / "source.txt"
    interrupted(experiment, tmp_path / "run")
    kept = source.read_bytes()
    rewrite(source, b"twenty two", b"twenty one")
    before = sorted(path.name for path in (tmp_path / "run").rglob("*"))
    for action in (
        lambda: train(experiment, tmp_path / "run"),
        lambda: evaluate(tmp_path / "run", "validation", command=["test"]),
    ):
        message = f"run was trained on other files: {source} has changed; put them back"
        with pytest.raises(UserError, match=message):
            action()
    assert sorted(path.name for path in (tmp_path / "run").rglob("*")) == before
    # It is touched, but its contents are those of the beginning.
    source.write_bytes(kept)
    assert "continuing after step" in train(experiment, tmp_path / "run")
    train(experiment, tmp_path / "straight")
    assert differences(tmp_path / "straight", tmp_path / "run") == []
    rewrite(source, b"twenty two", b"twenty one")
    assert train(experiment, tmp_path / "new")


@pytest.mark.usefixtures("quickly_compiled")
def test_a_run_without_a_note_goes_on_and_says_so(tmp_path):
    experiment = make(tmp_path)
    interrupted(experiment, tmp_path / "run")
    note = tmp_path / "run" / "data_files.json"
    kept = note.read_text()
    note.unlink()
    assert "the data files were not recorded before" in train(experiment, tmp_path / "run")
    assert note.read_text() == kept


@pytest.fixture
def texts(tmp_path):
    """A folder of texts with some that are not read."""
    folder = tmp_path / "texts"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.txt").write_text("one two three\n" * 30)
    (folder / "inner" / "b.txt.gz").write_bytes(gzip.compress(b"four five six\n" * 30))
    (folder / "README.md").write_text("not read")
    (folder / "._a.txt").write_bytes(b"\0\1")
    return folder, PlainTextConfig("plain_text", train_text=str(folder))


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    for name in ("train/cat/1.png", "train/dog/2.png", "validation/cat/3.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(0).integers(0, 255, (4, 4, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name, compress_level=0)
    return folder, ImagesConfig("image_folders", folder=str(folder))


@pytest.fixture
def tables(tmp_path):
    file = tmp_path / "train.csv"
    file.write_text("text,label\ngood,yes\nbad,no\n")
    return tmp_path, LabeledTextConfig("labeled_text", train_file=str(file))


def noted(tmp_path, config) -> tuple[DataFiles, dict]:
    (tmp_path / "run").mkdir()
    DataFiles(tmp_path / "run", config).note()
    file = tmp_path / "run" / "data_files.json"
    return DataFiles(tmp_path / "run", config), json.loads(file.read_text())


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ("texts", ["a.txt", "inner/b.txt.gz"]),
        ("images", ["train/cat/1.png", "train/dog/2.png", "validation/cat/3.png"]),
        ("tables", ["train.csv"]),
    ],
)
def test_every_file_of_a_data_set_is_noted_and_its_changes_found(request, tmp_path, data, names):
    folder, config = request.getfixturevalue(data)
    files, note = noted(tmp_path, config)
    assert sorted(note) == [str(folder / name) for name in names]
    files.check()
    for name in names:
        path = folder / name
        kept = path.read_bytes()
        touch(path)
        files.check()
        path.write_bytes(kept[:-3] + bytes([kept[-3] ^ 1]) + kept[-2:])
        touch(path)
        with pytest.raises(UserError, match=f"other files: {path} has changed; put"):
            files.check()
        path.write_bytes(kept + b"\n")
        with pytest.raises(UserError, match=f"other files: {path} has changed; put"):
            files.check()
        path.unlink()
        with pytest.raises(UserError, match=f"other files: {path} is missing; put"):
            files.check()
        path.write_bytes(kept)
        files.check()


def test_a_file_that_came_later_is_new(tmp_path, images):
    folder, config = images
    files, _ = noted(tmp_path, config)
    (folder / ".DS_Store").write_text("of a viewer")
    files.check()
    shutil.copy(folder / "train/cat/1.png", folder / "train/dog/4.png")
    with pytest.raises(UserError, match=re.escape("dog/4.png is new; put them back as they were")):
        files.check()


def test_contents_are_read_only_where_size_or_time_differ(tmp_path, images, monkeypatch):
    folder, config = images
    files, _ = noted(tmp_path, config)
    read = []
    digest = hashlib.file_digest
    monkeypatch.setattr(
        hashlib, "file_digest", lambda file, name: read.append(file.name) or digest(file, name)
    )
    files.check()
    assert read == []
    touched = folder / "train/dog/2.png"
    touch(touched)
    files.check()
    assert read == [str(touched)]
    # As a training does that goes on: the next one reads nothing again.
    files.note()
    read.clear()
    DataFiles(tmp_path / "run", config).check()
    assert read == []


def test_of_very_large_files_size_and_time_must_do(tmp_path, images, monkeypatch):
    folder, config = images
    monkeypatch.setattr(source_files, "MAX_HASHED_BYTES", 100)
    files, note = noted(tmp_path, config)
    assert {state["sha256"] for state in note.values()} == {None}
    files.check()
    touch(folder / "train/dog/2.png")
    with pytest.raises(UserError, match=r"2\.png has changed"):
        files.check()


def test_data_that_is_built_in_has_no_note(tmp_path):
    (tmp_path / "run").mkdir()
    DataFiles(tmp_path / "run", ImagesConfig("digits")).note()
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 3}', '{"a": {"size": 3}}'])
def test_a_damaged_note_is_told(tmp_path, images, text):
    (tmp_path / "data_files.json").write_text(text)
    with pytest.raises(UserError, match=r"cannot read .*data_files.json .*: delete it to accept"):
        DataFiles(tmp_path, images[1])


def test_what_was_prepared_of_touched_files_is_found_again(tmp_path, images):
    folder, config = images
    config = dataclasses.replace(config, data_dir=str(tmp_path / "prepared"), image_size=4)
    before = open_split(config, "train").folder
    touch(folder / "train/dog/2.png")
    assert open_split(config, "train").folder == before


def test_a_run_in_a_folder_of_its_own_data_is_refused(tmp_path):
    config = PlainTextConfig(dataset="plain_text", train_text=str(tmp_path / "texts"))
    for inside in ("texts", "texts/runs/1"):
        with pytest.raises(UserError, match=r"is in --data.train-text .*: choose another"):
            DataFiles(tmp_path / inside, config).check_place()
    DataFiles(tmp_path / "texts 2", config).check_place()
