"""Data are prepared once, without training, and found again."""

import dataclasses
import os

import pytest
from command_line import assert_is_error
from small import make_experiment

from flax_transformer.data.files import kept_arrays
from flax_transformer.data.tokens import tokenized_splits
from flax_transformer.tasks.tasks import find_task

WORDS = ["prepare", "small.py", "--data.data-dir", "prepared"]


def refuse(*_):
    raise AssertionError("data are prepared again")


def test_a_training_finds_what_is_prepared(run, folder, monkeypatch):
    first = run(*WORDS)
    assert (first.code, first.err) == (0, "")
    epoch, _, place = first.out.splitlines()
    assert "sentence pairs" in epoch
    assert place.startswith("prepared in prepared")
    names = {path.name.partition("-")[2] for path in (folder / "prepared").rglob("*.npy")}
    assert {"json.npy", "source_tokens.npy", "target_tokens.npy", "left_out.npy"} <= names
    monkeypatch.setattr(kept_arrays, "_write", refuse)
    assert run(*WORDS) == first
    experiment = make_experiment(folder)
    data = dataclasses.replace(experiment.data, data_dir="prepared")
    experiment = dataclasses.replace(experiment, data=data)
    task = find_task(experiment)[1].open(experiment, folder / "new", training=True)
    assert task.batches(data.train_split).describe("all devices")[0] == epoch


def test_nothing_is_left_but_the_data(run, folder):
    before = {*folder.iterdir()}
    run(*WORDS)
    assert {*folder.iterdir()} - before <= {folder / "prepared"}


@pytest.mark.skipif(os.getuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_that_cannot_be_written_to_is_reported(run, folder):
    run(*WORDS)
    (kept,) = (folder / "prepared").rglob(kept_arrays.FOLDER)
    kept.chmod(0o500)
    assert_is_error(run(*WORDS), "cannot keep prepared data in")
    kept.chmod(0o700)


def test_mistakes_are_reported_as_by_a_training(run):
    assert_is_error(run("prepare", "small.py", "--data.train-split", "none"), "--data.train-split")


def test_parts_of_several_machines_are_put_together(run, folder, monkeypatch):
    monkeypatch.setattr(tokenized_splits, "CHUNK_SIZE", 3)
    expected = run("prepare", "small.py", "--data.data-dir", "alone").out.splitlines()[:2]
    for index in range(2):
        part = run(*WORDS, "--shard", f"{index}/2")
        assert part.out.startswith(f"part {index} of 2 is prepared in prepared")
    monkeypatch.setattr(tokenized_splits, "_chosen_pairs", only_empty)
    assert run(*WORDS).out.splitlines()[:2] == expected


def only_empty(tokenizer, max_length, records):
    assert records == []
    return CHOSEN_PAIRS(tokenizer, max_length, records)


CHOSEN_PAIRS = tokenized_splits._chosen_pairs


@pytest.mark.parametrize("shard", ["2/2", "1", "a/b"])
def test_a_shard_that_is_none_is_refused(run, shard):
    assert_is_error(run(*WORDS, "--shard", shard), f"--shard {shard}")
