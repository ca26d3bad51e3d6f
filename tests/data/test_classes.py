import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from flax_transformer.data.augmentation_config import AugmentationConfig
from flax_transformer.data.datasets.prepared import _reader
from flax_transformer.data.files.pixel_splits import open_pixels
from flax_transformer.data.pixels_config import ImagesConfig, VideosConfig
from flax_transformer.errors import UserError


@pytest.fixture
def images(tmp_path) -> ImagesConfig:
    """Six images of two classes in folders, the first half gray levels 10, 20, 30."""
    for number in range(6):
        path = tmp_path / "own" / "train" / ("cat" if number < 3 else "dog") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (7 + number, 5), 10 * (number + 1)).save(path)
    return ImagesConfig(
        dataset="image_folders",
        folder=str(tmp_path / "own"),
        image_size=3,
        data_dir=str(tmp_path / "prepared"),
        batch_size=2,
    )


def all_of(examples) -> np.ndarray:
    return examples.inputs.take(np.arange(len(examples.inputs)))[0]


def test_images_and_their_classes_are_read(images):
    for _ in range(2):  # once made, once kept
        examples = open_pixels(images, "train")
        assert all_of(examples).shape == (6, 3, 3, 3)
        assert all_of(examples)[:, 1, 1, 1].tolist() == [10, 20, 30, 40, 50, 60]
        assert examples.labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert examples.class_names == ("cat", "dog")


def test_a_part_of_a_split_is_another_one(images):
    assert len(open_pixels(images, "train").inputs) == 6
    part = open_pixels(images, "train[4:]")
    assert (all_of(part)[:, 0, 0, 0].tolist(), part.labels.tolist()) == ([50, 60], [1, 1])


def test_images_are_read_from_a_file_as_they_are_used(images):
    open_pixels(images, "train")
    array: Any = open_pixels(images, "train").inputs
    assert isinstance(array.array, np.memmap)


@pytest.mark.parametrize(
    ("name", "image_size", "shape"),
    [
        ("cats_vs_dogs", 11, (11, 11, 3)),  # of several sizes, with a name of the file beside
        ("oxford_iiit_pet", 13, (13, 13, 3)),  # with two labels and a mask beside
        ("mnist", 32, (28, 28, 1)),  # of one size
        ("cifar100", 32, (32, 32, 3)),  # with a coarse label beside
    ],
)
def test_images_of_tfds_are_made_one_size(tmp_path, name, image_size, shape):
    config = ImagesConfig(dataset=name, image_size=image_size, data_dir=str(tmp_path))
    with tfds.testing.mock_data(num_examples=5, data_dir=str(tmp_path)):
        examples = open_pixels(config, "train")
    assert all_of(examples).shape == (5, *shape)
    assert len(examples.labels) == 5
    assert examples.labels.max() < len(examples.class_names)


def test_the_size_asked_for_is_the_size_kept(tmp_path):
    with tfds.testing.mock_data(num_examples=3, data_dir=str(tmp_path)):
        for size in (5, 7, 5):
            config = ImagesConfig(dataset="cats_vs_dogs", image_size=size, data_dir=str(tmp_path))
            assert all_of(open_pixels(config, "train")).shape == (3, size, size, 3)


def test_several_inputs_of_which_none_has_the_usual_name_are_told(tmp_path):
    config = ImagesConfig(dataset="imdb_reviews", data_dir=str(tmp_path))
    with (
        tfds.testing.mock_data(num_examples=3, data_dir=str(tmp_path)),
        pytest.raises(UserError, match=r"has the inputs \[\] and the labels \['label'\]: choose"),
    ):
        open_pixels(config, "train")


def test_a_video_that_stands_shows_its_first_frame(tmp_path):
    grays = [30, 60, 90]
    frames = [Image.new("L", (5, 5), gray) for gray in grays]
    for name in ("rise", "fall"):
        path = tmp_path / "own" / "train" / name / "a.gif"
        path.parent.mkdir(parents=True)
        frames[0].save(path, save_all=True, append_images=frames[1:])
    config = VideosConfig(
        dataset="video_folders",
        folder=str(tmp_path / "own"),
        image_size=3,
        num_frames=3,
        data_dir=str(tmp_path / "prepared"),
    )
    assert all_of(open_pixels(config, "train"))[0, :, 0, 0, 0].tolist() == grays
    still = dataclasses.replace(config, still=True)
    assert all_of(open_pixels(still, "train"))[0, :, 0, 0, 0].tolist() == [30] * 3


@pytest.mark.parametrize(
    ("config", "fields", "message"),
    [
        (ImagesConfig, {"image_size": 0}, "--data.image-size must be at least 1, not 0"),
        (ImagesConfig, {"image_size": 31}, "--data.image-size is set, but digits does not read it"),
        (ImagesConfig, {"folder": "a"}, "--data.folder is set, but digits does not read it"),
        (
            ImagesConfig,
            {"background": "black"},
            "--data.background is set, but digits does not read it",
        ),
        (
            VideosConfig,
            {"skip_bad_files": True},
            "--data.skip-bad-files is set, but moving_digits does",
        ),
        (ImagesConfig, {"background": "withe"}, "--data.background 'withe' is not a color: give a"),
        (VideosConfig, {"background": "#f"}, "--data.background '#f' is not a color: give a name"),
        (
            ImagesConfig,
            {"dataset": "mnist", "folder": "a"},
            "--data.folder is set, but mnist does not",
        ),
        (
            VideosConfig,
            {"num_frames": 9},
            "--data.num-frames is set, but moving_digits does not read it",
        ),
        (VideosConfig, {"num_frames": 0}, "--data.num-frames must be at least 1, not 0"),
        (ImagesConfig, {"batch_size": 0}, "--data.batch-size must be at least 1, not 0"),
    ],
)
def test_what_has_no_effect_or_no_sense_is_refused(config, fields, message):
    with pytest.raises(UserError, match=message):
        config(**fields)


def test_paths_are_found_from_any_folder():
    config = ImagesConfig(
        dataset="image_folders", folder="own", augmentation=AugmentationConfig(shift=1)
    )
    absolute = config.with_absolute_paths()
    assert isinstance(absolute, ImagesConfig)
    assert absolute.folder is not None
    assert absolute.folder.startswith("/")
    assert absolute.augmentation == config.augmentation


def test_what_is_asked_of_files_reaches_them(images):
    folder = Path(images.folder) / "train" / "cat"
    Image.new("RGBA", (3, 3), (0, 0, 0, 0)).save(folder / "3.png")
    (folder / "4.png").write_bytes(b"")
    config = dataclasses.replace(images, background="#ff0000", skip_bad_files=True)
    with pytest.warns(UserWarning, match="left out 1 of 8 files"):
        read = all_of(open_pixels(config, "train"))
    assert read[:, 1, 1].tolist()[3] == [255, 0, 0]
    assert len(read) == 7


@pytest.mark.parametrize(
    ("shape", "dtype", "pixel", "expected"),
    [
        ((None, None, 4), np.uint8, [0, 0, 0, 0], [0, 0, 255]),  # transparent
        ((None, None, 1), np.uint16, [257 * 9], [9]),
        ((2, 2, 1), np.uint16, [257 * 9], [9]),  # of one size
        ((2, 2, 3), np.uint8, [1, 2, 3], [1, 2, 3]),
    ],
)
def test_images_of_other_kinds_of_tfds_become_8_bits(shape, dtype, pixel, expected):
    features = {
        "image": tfds.features.Tensor(shape=shape, dtype=dtype),
        "label": tfds.features.ClassLabel(names=["a", "b"]),
    }
    config = ImagesConfig(dataset="published", image_size=2, background="blue")
    read, names = _reader(config, features)
    record = read({"image": np.full((2, 2, shape[-1]), pixel, dtype), "label": np.int64(1)})
    assert names == ("a", "b")
    assert record["label"] == 1
    assert record["image"].dtype == np.uint8
    assert record["image"][1, 1].tolist() == expected


def test_fractions_of_tfds_are_refused():
    features = {
        "image": tfds.features.Tensor(shape=(2, 2, 3), dtype=np.float32),
        "label": tfds.features.ClassLabel(names=["a", "b"]),
    }
    with pytest.raises(UserError, match="float32, which are not images of 8 or 16 bits"):
        _reader(ImagesConfig(dataset="published"), features)
