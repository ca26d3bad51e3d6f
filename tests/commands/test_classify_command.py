"""Images and videos of a user's own, from folders to their classes by the commands alone."""

import json
import pathlib

import numpy as np
import pytest
from command_line import assert_is_error
from PIL import Image
from unchecked import unchecked

import flax_transformer
from flax_transformer.cli import main

FOLDER = pathlib.Path(__file__).parents[2] / "experiments"
SMALL = """
--model.num-layers 1 --model.d-model 16 --model.d-ff 32 --model.num-heads 2
--model.image-size 8 8 --data.image-size 8 --model.patch-size 4 4
--data.batch-size 8 --data.test-split validation --optimizer.warmup-steps 5
--training.num-steps 40 --training.evaluate-every-steps 20 --training.checkpoint-every-steps 20
"""
EXTRA = {
    "image": "",
    "video": "--model.num-frames 4 --data.num-frames 4 --model.num-time-layers 1",
}


def save(path, kind: str, name: str, shade: int) -> None:
    """Dark or bright images; videos that grow dark or bright."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "image":
        Image.new("L", (9, 11), shade if name == "dark" else 255 - shade).save(path)
        return
    grays = [shade, 90 + shade, 150 + shade, 220 + shade]
    grays = grays[::-1] if name == "dark" else grays
    first, *rest = [Image.new("L", (9, 11), gray) for gray in grays]
    first.save(path, save_all=True, append_images=rest)


def own(folder, kind: str):
    ending = {"image": "png", "video": "gif"}[kind]
    for split, shades in (("train", range(0, 32, 2)), ("validation", (5, 13))):
        for name in ("bright", "dark"):
            for shade in shades:
                save(folder / split / name / f"{shade}.{ending}", kind, name, shade)
    return folder


def options(folder, kind: str) -> list[str]:
    paths = ["--data.folder", str(folder / "own"), "--data.data-dir", str(folder / "prepared")]
    return [*paths, *SMALL.split(), *EXTRA[kind].split()]


@pytest.fixture(scope="session", params=["image", "video"])
def kind(request) -> str:
    return request.param


@pytest.fixture(scope="session")
def classes(kind, tmp_path_factory):
    """A folder with a user's own examples, and in "run" what was trained on them."""
    folder = tmp_path_factory.mktemp(kind)
    own(folder / "own", kind)
    experiment = str(FOLDER / f"{kind}_folders.py")
    with unchecked():
        main(["train", experiment, "--workdir", str(folder / "run"), *options(folder, kind)])
    return folder


def test_what_was_learned_is_scored_with_all_confusions(run, classes):
    path = classes / "run"
    kept = json.loads((path / "scores" / "validation-average.json").read_text())
    assert kept["scores"]["accuracy"]["value"] == 100
    assert kept["scores"]["macro_f1"]["value"] == 100
    assert "top5_accuracy" not in kept["scores"]  # of two classes it is always 100
    assert kept["details"]["classes"] == ["bright", "dark"]
    assert kept["details"]["confusions"] == [[2, 0], [0, 2]]
    assert kept["details"]["largest_confusions"] == []
    assert kept["details"]["per_class"]["dark"] == {
        "examples": 2,
        "given": 2,
        "correct": 2,
        "precision": 100,
        "recall": 100,
        "f1": 100,
    }
    again = run("evaluate", "--workdir", str(path), "--split", "train", "--json")
    assert json.loads(again.out)["details"]["confusions"] == [[16, 0], [0, 16]]
    lines = (path / "scores" / "train-average.txt").read_text().splitlines()
    for line, name in zip(lines, ["bright"] * 16 + ["dark"] * 16, strict=True):
        label, *probabilities = line.split("\t")
        assert label == name
        assert sum(map(float, probabilities)) == pytest.approx(1, abs=2e-4)


def test_the_five_most_probable_of_two_classes_choose_no_checkpoint(run, classes, kind):
    words = ["--training.best-score", "top5_accuracy", *options(classes, kind)]
    result = run("train", str(FOLDER / f"{kind}_folders.py"), "--workdir", "other", *words)
    assert_is_error(result, "best-score top5_accuracy is always 100 with 2 classes: give")


def test_files_and_arrays_are_classified(run, classes, kind):
    ending = {"image": "png", "video": "gif"}[kind]
    paths = [str(classes / "own/validation" / name / f"5.{ending}") for name in ("dark", "bright")]
    command = ["classify", *paths, "--workdir", str(classes / "run")]
    found = [line.split("\t") for line in run(*command, "--top", "2").out.splitlines()]
    assert [(line[0], line[2]) for line in found] == [("dark", "bright"), ("bright", "dark")]
    assert [float(line[1]) > 0.5 for line in found] == [True, True]
    told = [json.loads(line) for line in run(*command, "--json").out.splitlines()]
    assert [line["label"] for line in told] == ["dark", "bright"]

    classifier = flax_transformer.load(classes / "run")
    ramp = np.array([10, 100, 160, 230], np.uint8)
    array = np.full((8, 8, 3), 10, np.uint8)
    if kind == "video":
        array = np.broadcast_to(ramp[::-1, None, None, None], (4, 8, 8, 3))
    (prediction,) = classifier.classify([array])
    assert prediction.label == "dark"


def test_what_is_no_image_or_video_is_told(run, classes, kind, tmp_path):
    wrong = tmp_path / ("a.png" if kind == "image" else "a.gif")
    wrong.write_text("text")
    command = ["classify", "--workdir", str(classes / "run")]
    assert_is_error(run(*command, str(wrong)), f"cannot read .* give an? {kind}")
    assert_is_error(run(*command, str(tmp_path / "none.png")), "No such file")


def test_a_model_of_another_size_is_told(run, classes, kind):
    words = options(classes, kind)
    words[words.index("--model.image-size") + 1] = "12"
    result = run("train", str(FOLDER / f"{kind}_folders.py"), "--workdir", "other", *words)
    size = {"image": "8 x 8 x 3", "video": "4 x 8 x 8 x 3"}[kind]
    other = size.replace("8 x 8 x", "12 x 8 x")
    assert_is_error(result, f"examples are {size}, but the model reads {other}: change --model")
