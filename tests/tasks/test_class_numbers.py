"""Classes are known by their names: their numbers are those of the training."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image
from untrained import CLASS_NAMES, EXPERIMENTS, write_workdir

from flax_transformer.data.pixels_config import ImagesConfig
from flax_transformer.errors import UserError
from flax_transformer.tasks.classification.classification_task import CLASSES
from flax_transformer.training.assemble import open_run


@pytest.fixture
def run(tmp_path):
    """A model, and images in folders of the classes that it predicts, not all of its classes."""
    folder = tmp_path / "own"
    data = ImagesConfig(
        dataset="image_folders",
        folder=str(folder),
        image_size=4,
        data_dir=str(tmp_path / "prepared"),
    )
    of_digits = EXPERIMENTS["images"]
    model = dataclasses.replace(of_digits.model, image_size=(4, 4), num_channels=3)
    experiment = dataclasses.replace(of_digits, data=data, model=model)
    opened = open_run(write_workdir(tmp_path / "run", experiment), "last")
    rng = np.random.default_rng(0)
    images = list(rng.integers(0, 256, (40, 4, 4, 3), np.uint8))
    classifier = opened.task.predictor(opened.variables)
    for number, prediction in enumerate(classifier.classify(images)):
        path = folder / "train" / prediction.label / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[number]).save(path)
    found = sorted(path.name for path in (folder / "train").iterdir())
    assert tuple(found) != CLASS_NAMES[: len(found)]  # so that other numbers are other classes
    assert len(found) > 1
    return opened


def test_classes_are_scored_by_their_names(run):
    scored = run.task.evaluate(run.variables, "train")
    assert scored.scores["accuracy"].value == 100


def test_a_class_that_the_model_does_not_know_is_named(run, tmp_path):
    (tmp_path / "own" / "train" / "nwet").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "own" / "train" / "nwet" / "a.png")
    with pytest.raises(UserError, match="unknown class 'nwet': did you mean 'newt'"):
        run.task.evaluate(run.variables, "train")


def test_a_training_does_not_go_on_with_other_classes(run, tmp_path):
    path = tmp_path / "run" / CLASSES
    run.task.save(tmp_path / "run")
    path.write_text(json.dumps(["10", "2"]))
    with pytest.raises(UserError, match=r"the classes of the data, .*classes\.json: train into an"):
        run.task.save(tmp_path / "run")
    assert json.loads(path.read_text()) == ["10", "2"]
