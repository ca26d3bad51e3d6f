import contextlib
import json
import os
import shutil
import warnings
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from test_checkpoint import assert_same_bits, make_state, newest, open_checkpoints, zeros

from flax_transformer.errors import UserError
from flax_transformer.training.checkpoints.checkpoints import DamagedCheckpoint

# The reads and writes beside one that fails have nothing left to report to.
pytestmark = pytest.mark.filterwarnings("ignore:.*:pytest.PytestUnraisableExceptionWarning")


def largest(folder: Path) -> Path:
    """The file that holds most of an item's arrays."""
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def flip(path: Path) -> None:
    """Changes one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES = {
    "a bit of the variables": lambda folder: flip(largest(folder / "variables")),
    "a bit of the optimizer": lambda folder: flip(largest(folder / "optimizer")),
    "variables cut off": lambda folder: truncate(largest(folder / "variables")),
    "optimizer cut off": lambda folder: truncate(largest(folder / "optimizer")),
    "variables empty": lambda folder: largest(folder / "variables").write_bytes(b""),
    "no variables": lambda folder: shutil.rmtree(folder / "variables"),
    "no optimizer": lambda folder: shutil.rmtree(folder / "optimizer"),
    "no arrays": lambda folder: shutil.rmtree(folder / "variables" / "d"),
    "no file": lambda folder: [p.unlink() for p in folder.rglob("*") if p.is_file()],
    "an empty folder": lambda folder: (shutil.rmtree(folder), folder.mkdir()),
    "contents cut off": lambda folder: truncate(folder / "contents" / "metadata"),
    "contents of another kind": lambda folder: (folder / "contents" / "metadata").write_text("[3]"),
    "no contents": lambda folder: shutil.rmtree(folder / "contents"),
    "notes cut off": lambda folder: truncate(folder / "notes" / "metadata"),
    "no notes": lambda folder: shutil.rmtree(folder / "notes"),
    "structure cut off": lambda folder: truncate(folder / "variables" / "_METADATA"),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with the checkpoints of steps 2, 4 and 5."""
    folder = tmp_path_factory.mktemp("saved")
    with contextlib.closing(open_checkpoints(folder)) as checkpoints:
        for step in (2, 4, 5):
            checkpoints.save(make_state(step), {"step": step})
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "copy"))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used(folder, damage):
    DAMAGES[damage](folder / "checkpoints" / "5")
    with contextlib.closing(open_checkpoints(folder)) as checkpoints:
        with pytest.warns(UserWarning, match=r"checkpoints/5 is damaged .*; the one before it"):
            restored = newest(checkpoints, zeros(make_state(4)))
        assert_same_bits(restored.state, make_state(4))
        assert restored.notes == {"step": 4}
        assert (folder / "damaged" / "5.0").is_dir()
        # Its step can be saved again.
        checkpoints.save(make_state(5), {"step": 5})
    with contextlib.closing(open_checkpoints(folder)) as checkpoints:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            again = newest(checkpoints, zeros(make_state(5)))
        assert_same_bits(again.state, make_state(5))


def test_several_damaged_checkpoints_are_passed_over(folder):
    for step in (4, 5):
        flip(largest(folder / "checkpoints" / str(step) / "variables"))
    with contextlib.closing(open_checkpoints(folder)) as checkpoints:
        with pytest.warns(UserWarning, match="checkpoints/[45] is damaged") as said:
            restored = newest(checkpoints, zeros(make_state(2)))
        assert_same_bits(restored.state, make_state(2))
        assert len(said) == 2
        DAMAGES["no variables"](folder / "checkpoints" / "2")
        with pytest.warns(UserWarning, match="checkpoints/2 is damaged"):
            assert checkpoints.restore_newest(zeros(make_state(2))) is None


def test_a_damaged_checkpoint_is_left_out_of_a_mean_and_left_where_it_is(folder):
    flip(largest(folder / "checkpoints" / "4" / "variables"))
    shapes = jax.eval_shape(lambda: make_state(2).variables)
    with contextlib.closing(open_checkpoints(folder, is_reader=True)) as checkpoints:
        with pytest.warns(UserWarning, match="checkpoints/4 is damaged .*: it is left out"):
            mean, steps = checkpoints.mean_variables(shapes, [2, 4])
        assert steps == [2]
        jax.tree.map(np.testing.assert_array_equal, mean, make_state(2).variables)
        with pytest.warns(UserWarning, match="is left out"):
            assert checkpoints.mean_variables(shapes, [4]) == (None, [])
    assert (folder / "checkpoints" / "4").is_dir()


def test_a_reader_makes_nothing(tmp_path):
    with contextlib.closing(open_checkpoints(tmp_path, is_reader=True)) as checkpoints:
        assert checkpoints.steps() == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v["a"].pop("kernel"), r"not of this model: params/a/kernel float32\[3,5\]"),
        (lambda v: v.update(c=v["b"]), r"missing: params/c float32\[7\]"),
        (
            lambda v: v.update(b=v["b"][:5]),
            r"of another shape: params/b float32\[7\] for float32\[5\]",
        ),
        (lambda v: v.update(b=v["b"].astype("bfloat16")), r"params/b float32\[7\] for bfloat16"),
        (
            lambda v: v.update({f"d{i}": v["b"] for i in range(7)}),
            r"missing: params/d0 .*params/d4 float32\[7\] and 2 more",
        ),
    ],
)
def test_a_checkpoint_of_another_model_gets_a_list(folder, change, message):
    state = make_state(5)
    variables = {"a": dict(state.params["a"]), "b": state.params["b"]}
    change(variables)
    with contextlib.closing(open_checkpoints(folder)) as checkpoints:
        with pytest.raises(UserError, match=f"5 is of another model .*{message}"):
            checkpoints.restore(state._replace(params=variables), 5)
        # It is whole: nothing is put aside.
        with pytest.raises(UserError):
            newest(checkpoints, state._replace(params=variables))
    assert (folder / "checkpoints" / "5").is_dir()


def save_and_close(checkpoints):
    checkpoints.save(make_state(6), {})
    checkpoints.close()


def assert_last_is_whole(folder):
    with contextlib.closing(open_checkpoints(folder)) as again:
        assert again.steps() == [2, 4, 5]
        assert_same_bits(newest(again, zeros(make_state(5))).state, make_state(5))


@pytest.fixture
def never_begun(monkeypatch):
    """Fails where Orbax begins a write: what it leaves undone is warned of long after it fails."""
    monkeypatch.setattr(ocp.CheckpointManager, "save", lambda *_, **__: pytest.fail("it began"))


@pytest.mark.usefixtures("never_begun")
def test_a_full_disk_is_told_in_one_line_and_leaves_the_last_checkpoint_whole(folder, full_disk):
    checkpoints = open_checkpoints(folder)
    message = r"cannot write .*large for 0\.0 MB\); the last one, of step 5, is whole: make room"
    with full_disk(), pytest.raises(UserError, match=message) as told:
        save_and_close(checkpoints)
    assert "\n" not in str(told.value)
    assert_last_is_whole(folder)


@pytest.mark.usefixtures("never_begun")
def test_a_folder_that_takes_nothing_is_told_in_one_line(folder):
    checkpoints = open_checkpoints(folder)
    (folder / "checkpoints").rename(folder / "elsewhere")
    (folder / "checkpoints").write_text("a file in its place")
    with pytest.raises(UserError, match=r"cannot write a checkpoint into .*NotADirectoryError"):
        save_and_close(checkpoints)


def test_a_disk_that_fills_up_during_a_write_is_told_in_one_line(folder, full_disk, monkeypatch):
    checkpoints = open_checkpoints(folder)
    message = r"cannot write .* of step 5, is whole: make room"
    with contextlib.ExitStack() as disk:
        monkeypatch.setattr(os, "posix_fallocate", lambda *_: disk.enter_context(full_disk()))
        with pytest.raises(UserError, match=message) as told:
            save_and_close(checkpoints)
    assert "\n" not in str(told.value)
    assert_last_is_whole(folder)


def test_digests_tell_bits_names_and_types_apart(folder):
    with contextlib.closing(open_checkpoints(folder)) as checkpoints:
        digests = {
            json.dumps(checkpoints.contents(step)["variables"]["sums"]) for step in (2, 4, 5)
        }
        assert len(digests) == 3
        with pytest.raises(DamagedCheckpoint, match="checkpoints/7 is damaged"):
            checkpoints.restore(zeros(make_state(5)), 7)
