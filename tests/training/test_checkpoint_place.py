"""Checkpoints outside of the workdir: in another folder, or in a bucket."""

import contextlib
import io
import logging
import sys
import warnings
from typing import Any

import pytest
from etils import epath
from fake_bucket import fake_bucket
from interrupted import crash, interrupt_batches
from rich.console import Console
from small import with_fields
from small_texts import classification, masked
from test_checkpoint import assert_same_bits, make_state, newest, open_checkpoints, zeros

from flax_transformer.errors import UserError
from flax_transformer.training import loop
from flax_transformer.training.assemble import evaluate, open_run
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.durability.resume_proof import differences

pytestmark = pytest.mark.usefixtures("quickly_compiled")


@pytest.fixture(scope="module", autouse=True)
def module_bucket():
    with fake_bucket() as bucket:
        yield bucket


@pytest.fixture
def bucket(module_bucket):
    module_bucket.objects.clear()
    yield module_bucket
    module_bucket.error, module_bucket.refuses = None, False


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    experiment = classification(tmp_path_factory.mktemp("data"))
    return with_fields(
        experiment,
        "training",
        num_steps=5,
        checkpoint_every_steps=1,
        evaluate_every_steps=5,
        keep_checkpoints=2,
    )


def train(experiment, path, place: Any = None) -> str:
    printed = io.StringIO()
    loop.train(experiment, path, Console(file=printed, width=1000), checkpoint_dir=place)
    return printed.getvalue()


@pytest.fixture(scope="module")
def straight(experiment, tmp_path_factory):
    path = tmp_path_factory.mktemp("straight") / "run"
    train(experiment, path)
    return path


@pytest.mark.parametrize("place", ["gs://bucket/runs/a", "elsewhere"])
def test_a_training_interrupted_and_continued_is_that_with_its_checkpoints_in_the_workdir(
    place, experiment, straight, bucket, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        interrupt_batches(patch, 3, crash)
        with pytest.raises(KeyboardInterrupt):
            train(experiment, tmp_path / "run", place)
    # A relative folder is found from everywhere, and the option is given once.
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert "continuing after step 3" in train(experiment, tmp_path / "run")
    assert not differences(straight, tmp_path / "run")
    assert open_run(tmp_path / "run", "average").steps == [4, 5]
    scores = evaluate(tmp_path / "run", "train")[0].scores
    assert scores == evaluate(straight, "train")[0].scores
    found = epath.Path(place if "://" in place else tmp_path / place)
    assert {path.name for path in found.iterdir()} == {"checkpoints", "run.txt"}
    assert {path.name for path in (found / "checkpoints").iterdir()} == {"4", "5"}
    assert bool(bucket.objects) == ("://" in place)
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert not (tmp_path / "other" / "gs:").exists()


@pytest.fixture
def saved(bucket):
    """A folder in the bucket with the checkpoints of steps 2, 4 and 5."""
    folder = epath.Path("gs://bucket/saved")
    with contextlib.closing(open_checkpoints(folder)) as checkpoints:
        for step in (2, 4, 5):
            checkpoints.save(make_state(step), {"step": step})
    return folder


def flip(bucket, prefix: str) -> None:
    """Changes one bit in the largest object whose name begins so."""
    name = max(bucket.names(prefix), key=lambda name: len(bucket.objects[name][0]))
    data = bytearray(bucket.objects[name][0])
    data[len(data) // 2] ^= 1
    bucket.put(name, bytes(data))


def test_a_damaged_checkpoint_in_a_bucket_is_put_aside(saved, bucket):
    flip(bucket, "bucket/saved/checkpoints/5/variables")
    with contextlib.closing(open_checkpoints(saved)) as checkpoints:
        with pytest.warns(UserWarning, match=r"5 is damaged .*moved to gs://bucket/saved/damaged"):
            restored = newest(checkpoints, zeros(make_state(4)))
        assert_same_bits(restored.state, make_state(4))
        checkpoints.save(make_state(5), {"step": 5})
    assert bucket.names("bucket/saved/damaged/5.0/variables")
    with contextlib.closing(open_checkpoints(saved)) as checkpoints, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same_bits(newest(checkpoints, zeros(make_state(5))).state, make_state(5))


def test_a_checkpoint_whose_writing_was_interrupted_does_not_count(saved, bucket, tmp_path):
    # A bucket has no name for it but the final one.
    del bucket.objects["bucket/saved/checkpoints/5/commit_success.txt"]
    workdir = Workdir(tmp_path, str(saved))
    assert workdir.saved_steps() == [2, 4]
    with contextlib.closing(open_checkpoints(saved)) as checkpoints:
        assert newest(checkpoints, zeros(make_state(4))).notes == {"step": 4}
        checkpoints.save(make_state(5), {"step": 5})
    assert workdir.saved_steps() == [2, 4, 5]


def save_two(checkpoints):
    """The second reports an error of the first."""
    checkpoints.save(make_state(6), {})
    checkpoints.save(make_state(7), {})


def test_a_bucket_that_does_not_answer_says_nothing_about_its_checkpoints(
    saved, bucket, monkeypatch
):
    before = set(bucket.objects)
    with contextlib.closing(open_checkpoints(saved)) as checkpoints:
        with monkeypatch.context() as patch:
            error = ConnectionError("no route to host")
            patch.setattr(checkpoints, "contents", lambda _: (_ for _ in ()).throw(error))
            with pytest.raises(UserError, match=r"cannot read .*no route to host\): try again"):
                newest(checkpoints, zeros(make_state(5)))
        assert set(bucket.objects) == before
    checkpoints = open_checkpoints(saved)
    bucket.refuses = True
    message = r"cannot write a checkpoint into gs://bucket/saved.* \(PermissionError: no right"
    with pytest.raises(UserError, match=message):
        save_two(checkpoints)
    # The end of a training closes them.
    with pytest.raises(UserError, match=message):
        checkpoints.close()
    bucket.error = ConnectionError("no route to host")
    with pytest.raises(UserError, match=r"cannot read gs://bucket/saved/checkpoints \(Conn"):
        open_checkpoints(saved)


def test_a_place_is_taken_for_one_run_alone(experiment, bucket, tmp_path):
    run, place = Workdir(tmp_path / "run", "gs://bucket/a"), "gs://bucket/a"
    run.start(experiment)
    run.release()
    Workdir(tmp_path / "run", f"{place}/").check(experiment)
    Workdir(tmp_path / "run").check(experiment)
    with pytest.raises(UserError, match="keeps its checkpoints in gs://bucket/a, not in --ch"):
        Workdir(tmp_path / "run", "gs://bucket/b").check(experiment)
    with pytest.raises(UserError, match="holds the checkpoints of another run: choose a new one"):
        Workdir(tmp_path / "other", place).check(experiment)
    bucket.objects.clear()
    with pytest.raises(UserError, match=r"gs://bucket/a does not hold the checkpoints of .*run"):
        Workdir(tmp_path / "run").check(experiment)
    usual = Workdir(tmp_path / "usual")
    usual.start(experiment)
    usual.release()
    with pytest.raises(UserError, match=r"usual keeps its checkpoints in .*usual, not in --check"):
        Workdir(tmp_path / "usual", place).check(experiment)


def block(name):
    return lambda bucket, patch: patch.setitem(sys.modules, name, None)


@pytest.mark.parametrize(
    ("place", "change", "message"),
    [
        ("s3://bucket/a", None, "s3://bucket/a is neither a folder nor an address"),
        ("gs://bucket", None, r"such as gs://BUCKET/RUN"),
        ("gs:///a", None, r"such as gs://BUCKET/RUN"),
        ("gs://bucket/a", block("gcsfs"), "not installed: run pip install 'flax_transformer.gcs"),
        (
            "gs://bucket/a",
            lambda bucket, _: setattr(bucket, "refuses", True),
            "cannot write into gs://bucket/a .*no right to write.*check the address",
        ),
        (
            "gs://bucket/a",
            lambda bucket, _: setattr(bucket, "error", ValueError("no credentials\nat all")),
            r"cannot read gs://bucket/a \(ValueError: no credentials\): check the address",
        ),
        (
            "gs://bucket/a",
            lambda bucket, _: bucket.put("bucket/a/notes.txt", b"mine"),
            "--checkpoint-dir gs://bucket/a holds other files: choose a new one",
        ),
        ("file/below", None, r"cannot (read|write into) .*file/below \((File|NotAD)"),
    ],
)
def test_a_place_that_cannot_be_used_is_reported_before_any_step(
    place, change, message, experiment, bucket, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("a file")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loop, "_train", lambda *_: pytest.fail("it began"))
    if change is not None:
        change(bucket, monkeypatch)
    with pytest.raises(UserError, match=message) as told:
        train(experiment, tmp_path / "run", place)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "run" / "experiment.json").exists()


def test_checkpoints_are_not_put_among_the_data(tmp_path):
    (tmp_path / "texts").mkdir()
    inside = with_fields(masked(tmp_path), "data", train_text=str(tmp_path / "texts"))
    with pytest.raises(UserError, match=r"--checkpoint-dir .*texts/run is in --data\.train-text"):
        train(inside, tmp_path / "run", tmp_path / "texts" / "run")


def test_gcsfs_does_not_log_errors_that_are_reported(bucket, tmp_path):
    Workdir(tmp_path, "gs://bucket/a").saved_steps()
    assert not logging.getLogger("gcsfs").isEnabledFor(logging.ERROR)
