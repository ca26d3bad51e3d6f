"""Damaged prepared data: every command that reads it says in one line what to delete."""

import dataclasses

import pytest
from command_line import IMPORTS, assert_is_error
from small import make_experiment

from flax_transformer.data.datasets.datasets import open_split
from flax_transformer.data.parallel_text_config import ParallelTextConfig


@pytest.fixture
def shard(tmp_path, folder):
    """The prepared training split of the experiment "letters.py" of the folder."""
    data = ParallelTextConfig("copy", data_dir=str(tmp_path / "prepared"), max_length=34)
    experiment = dataclasses.replace(make_experiment(folder), data=data)
    (folder / "letters.py").write_text(f"{IMPORTS}\nexperiment = {experiment!r}\n")
    open_split(data, "train")
    (path,) = tmp_path.rglob("*-train.array_record*")
    return path


@pytest.mark.parametrize("size", [0, 2**16])
def test_training_names_the_folder_to_delete_and_writes_nothing(run, folder, shard, size):
    shard.write_bytes(shard.read_bytes()[:size])
    result = run("train", "letters.py", "--workdir", "new")
    message = rf"{shard.parent} is damaged \({shard.name} is cut or changed\): delete this folder"
    assert_is_error(result, message)
    assert not (folder / "new").exists()
