"""The published data sets of images, against what their authors say of them."""

import dataclasses
import hashlib
import io
import sys

import numpy as np
import pytest
from PIL import Image
from prepared import read_splits

from flax_transformer.data.datasets import cifar10_jpeg, digits
from flax_transformer.data.datasets.datasets import open_split
from flax_transformer.data.pixels_config import ImagesConfig
from flax_transformer.errors import UserError


def test_fashion_mnist_is_what_its_authors_describe(shared_dir, tmp_path):
    folder = str(shared_dir("fashion_mnist"))
    config = ImagesConfig("fashion_mnist", manual_dir=folder, data_dir=str(tmp_path))
    splits = read_splits(config, "train", "test")
    for split, per_class in {"train": 6_000, "test": 1_000}.items():
        labels = [example["label"] for example in splits[split]]
        assert np.bincount(labels).tolist() == [per_class] * 10
    images = np.stack([example["image"] for example in splits["train"]])
    assert (images.shape, images.dtype) == ((60_000, 28, 28, 1), np.uint8)
    assert round(images.mean() / 255, 4) == 0.2860
    names = open_split(config, "test").class_names
    assert [names[example["label"]] for example in splits["test"][:2]] == ["Ankle boot", "Pullover"]


@pytest.mark.parametrize("split", ["train", "test"])
def test_cifar10_jpeg_has_its_sizes_and_classes(shared_dir, split):
    contents = (shared_dir("cifar10_jpeg") / cifar10_jpeg.FILES[split]).read_bytes()
    images, labels = cifar10_jpeg.parse(contents)
    assert np.bincount(labels).tolist() == [{"train": 5_000, "test": 1_000}[split]] * 10
    names = np.load(io.BytesIO(contents))["class_names"]
    assert tuple(names) == cifar10_jpeg.CLASS_NAMES
    first = np.stack([next(images) for _ in range(1_009)]) / 255
    # Of all training images: 0.4913, 0.4821, 0.4465.
    np.testing.assert_allclose(first.mean((0, 1, 2)), [0.4913, 0.4821, 0.4465], atol=0.02)


def test_cifar10_jpeg_is_prepared_decoded_and_in_order(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (7, 32, 32, 3), np.uint8)
    files = [io.BytesIO() for _ in images]
    for image, file in zip(images, files, strict=True):
        Image.fromarray(image).save(file, "jpeg")
    parts = [file.getvalue() for file in files]
    labels = np.array([3, 1, 9, 0, 0, 5, 2], np.uint8)
    sha256 = {}
    for name in cifar10_jpeg.FILES.values():
        np.savez(
            tmp_path / name,
            jpeg=np.frombuffer(b"".join(parts), np.uint8),
            offsets=np.cumsum([0, *map(len, parts)]).astype(np.uint32),
            labels=labels,
        )
        sha256[name] = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    small = cifar10_jpeg.recipe(None)._replace(sha256=sha256)
    monkeypatch.setattr(cifar10_jpeg, "recipe", lambda config: small)
    config = ImagesConfig("cifar10_jpeg", manual_dir=str(tmp_path), data_dir=str(tmp_path))
    splits = read_splits(config, "train", "test")
    for examples in splits.values():
        assert [example["label"] for example in examples] == labels.tolist()
        for example, file in zip(examples, files, strict=True):
            np.testing.assert_array_equal(example["image"], np.asarray(Image.open(file)))


def test_cifar10_jpeg_without_a_folder_asks_for_its_files(tmp_path):
    config = ImagesConfig("cifar10_jpeg", data_dir=str(tmp_path))
    with pytest.raises(UserError, match=r"no place to be downloaded from: give --data\.manual-dir"):
        open_split(config, "train")
    with pytest.raises(UserError, match=r"neither cifar10_train_jpeg\.npz .* the folder with it"):
        open_split(dataclasses.replace(config, manual_dir=str(tmp_path)), "train")


def test_digits_are_scikit_learns(tmp_path):
    datasets = pytest.importorskip("sklearn.datasets", reason="digits need scikit-learn")
    splits = read_splits(ImagesConfig(data_dir=str(tmp_path)), *digits.SPLIT_SIZES)
    assert {split: len(examples) for split, examples in splits.items()} == digits.SPLIT_SIZES
    examples = [example for split in digits.SPLIT_SIZES for example in splits[split]]
    known = datasets.load_digits()
    assert [example["label"] for example in examples] == known.target.tolist()
    images = np.stack([example["image"] for example in examples])
    assert images.max() == 255
    np.testing.assert_allclose(images[..., 0] * (16 / 255), known.images, atol=0.04)


def test_digits_without_scikit_learn_say_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(UserError, match=r"pip install 'flax_transformer\[images\]'"):
        digits.load()
