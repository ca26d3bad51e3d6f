"""Folders of images with bad and transparent files, from training to classification."""

import json
import pathlib

import numpy as np
import pytest
from command_line import assert_is_error
from PIL import Image

EXPERIMENT = pathlib.Path(__file__).parents[2] / "experiments" / "image_folders.py"
SMALL = """
--model.num-layers 1 --model.d-model 16 --model.d-ff 32 --model.num-heads 2
--model.image-size 8 8 --data.image-size 8 --model.patch-size 4 4 --data.batch-size 8
--data.test-split validation --training.num-steps 2
"""


@pytest.fixture
def own(tmp_path):
    """Two classes of transparent drawings, and three bad files."""
    rng = np.random.default_rng(0)
    for split, number in (("train", 5), ("val", 3)):
        for name in ("2", "10"):
            for index in range(number):
                path = tmp_path / "own" / split / name / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                image = np.zeros((9, 7, 4), np.uint8)
                image[..., 3] = rng.integers(0, 256, (9, 7))
                Image.fromarray(image).save(path)
    for name in ("train/2/0.png", "train/10/4.png", "val/2/1.png"):
        (tmp_path / "own" / name).write_text("<html>")
    (tmp_path / "own" / "train" / "2" / "notes.txt").touch()
    return tmp_path / "own"


def test_bad_files_are_left_out_and_the_background_holds_in_classification(run, own, tmp_path):
    workdir = tmp_path / "run"
    paths = ["--data.folder", str(own), "--data.data-dir", str(tmp_path / "prepared")]
    train = ["train", str(EXPERIMENT), "--workdir", str(workdir), *paths, *SMALL.split()]
    refused = run(*train)
    assert refused.code == 2
    assert refused.err.splitlines()[-1].startswith("error: cannot read 3 files: ")
    assert not workdir.exists() or not list(workdir.iterdir())

    trained = run(*train, "--data.skip-bad-files", "--data.background", "black")
    assert trained.code == 0
    told = [line for line in trained.err.splitlines() if line.startswith("warning: ")]
    assert len(told) == 2
    assert "skipped 1 file" in told[0]
    assert "left out 3 of 16 files: " in told[1]
    assert "8 examples of 2 classes" in trained.out
    assert json.loads((workdir / "classes.json").read_text()) == ["2", "10"]

    drawing = own / "val" / "10" / "2.png"
    with Image.open(drawing) as image:
        alpha = np.asarray(image)[..., 3]
    for name, level in (("black", 0), ("white", 255)):
        gray = np.round((255.0 - alpha) * level / 255).astype(np.uint8)
        Image.fromarray(gray).save(tmp_path / f"{name}.png")
    files = [str(drawing), str(tmp_path / "black.png"), str(tmp_path / "white.png")]
    found = run("classify", *files, "--workdir", str(workdir), "--json")
    of_drawing, on_black, on_white = [json.loads(line) for line in found.out.splitlines()]
    assert of_drawing["probabilities"] == on_black["probabilities"] != on_white["probabilities"]

    # A workdir from before backgrounds were an option has a white one.
    kept = json.loads((workdir / "experiment.json").read_text())
    del kept["data"]["background"], kept["data"]["skip_bad_files"]
    (workdir / "experiment.json").write_text(json.dumps(kept))
    found = run("classify", *files, "--workdir", str(workdir), "--json")
    of_drawing, on_black, on_white = [json.loads(line) for line in found.out.splitlines()]
    assert of_drawing["probabilities"] == pytest.approx(on_white["probabilities"], abs=1e-3)
    assert of_drawing["probabilities"] != on_black["probabilities"]


def test_what_is_not_a_color_is_told(run, own, tmp_path):
    words = ["--workdir", str(tmp_path / "run"), "--data.folder", str(own)]
    result = run("train", str(EXPERIMENT), *words, "--data.background", "withe")
    assert_is_error(result, "--data.background 'withe' is not a color: give a name such as white")
