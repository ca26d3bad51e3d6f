"""Each experiment on images and videos trains, on data made up where its own must be fetched."""

import json
import pathlib

import pytest
import tensorflow_datasets as tfds

from flax_transformer.cli import main

FOLDER = pathlib.Path(__file__).parents[2] / "experiments"
SMALL = """
--model.num-layers 1 --model.d-model 16 --model.d-ff 32 --model.num-heads 2
--data.batch-size 8 --training.num-steps 2 --data.train-split train[:16]
--data.validation-split test[:8] --data.test-split test[8:16]
"""


def train(name: str, folder: pathlib.Path, *words: str) -> dict:
    workdir = folder / "run"
    given = ["--data.data-dir", str(folder / "prepared"), *SMALL.split(), *words]
    main(["train", str(FOLDER / f"{name}.py"), "--workdir", str(workdir), *given])
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == 2
    return json.loads((workdir / "scores" / "test[8:16]-average.json").read_text())


def test_digits_train(tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn, which has the digits, is not installed")
    assert len(train("digits", tmp_path)["details"]["classes"]) == 10


@pytest.mark.parametrize(
    "variant",
    ["joint", "factorized_encoder", "factorized_self_attention", "factorized_dot_product"],
)
def test_moving_digits_train_in_every_variant(tmp_path_factory, variant):
    folder = tmp_path_factory.getbasetemp() / "moving_digits"
    options = ["--data.data-dir", str(folder), "--model.variant", variant]
    scores = train("moving_digits", tmp_path_factory.mktemp(variant), *options)
    assert len(scores["details"]["classes"]) == 10


@pytest.mark.parametrize(("name", "alike"), [("fashion_mnist", "mnist"), ("cifar10", "cifar10")])
def test_images_that_must_be_fetched_train_on_others_of_their_size(tmp_path, name, alike):
    prepared = str(tmp_path / "prepared")
    with tfds.testing.mock_data(num_examples=16, data_dir=prepared):
        scores = train(name, tmp_path, "--data.dataset", alike)
    assert len(scores["details"]["confusions"]) == 10
