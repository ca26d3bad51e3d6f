import os
import pathlib
from typing import Any

import numpy as np
import pytest
from PIL import Image
from prepared import read_splits

from flax_transformer.data.image_files import read_file
from flax_transformer.data.image_folders import ImageFolders
from flax_transformer.errors import UserError

GREYS = {
    "train/cat/b.png": 11,
    "train/cat/a.PNG": 23,
    "train/dog/c.bmp": 47,
    "test/dog/d.png": 89,
}


def prepare(folder: pathlib.Path, image_size: int = 5) -> tuple[Any, dict]:
    build: Any = ImageFolders
    builder = build(
        folder=str(folder),
        image_size=image_size,
        data_dir=str(folder.parent / "prepared"),
        file_format="array_record",
    )
    return builder, read_splits(builder)


def save(path: pathlib.Path, grey: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (13, 7), grey).save(path)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "images"
    for name, grey in GREYS.items():
        save(folder / name, grey)
    (folder / "train" / "cat" / "notes.txt").touch()
    (folder / ".git").mkdir()
    return folder


def test_folders_are_splits_and_classes(folder):
    builder, splits = prepare(folder)
    assert builder.info.features["label"].names == ["cat", "dog"]
    told = {
        split: [(x["image"].shape, int(x["image"].max()), x["label"]) for x in examples]
        for split, examples in splits.items()
    }
    shape = (5, 5, 3)
    assert told == {
        "train": [(shape, 23, 0), (shape, 11, 0), (shape, 47, 1)],
        "test": [(shape, 89, 1)],
    }


def test_changed_images_and_another_size_are_prepared_anew(folder):
    prepare(folder)
    save(folder / "test" / "dog" / "d.png", 97)
    os.utime(folder / "test" / "dog" / "d.png", (1, 1))
    assert prepare(folder)[1]["test"][0]["image"].max() == 97
    assert prepare(folder, 3)[1]["test"][0]["image"].shape == (3, 3, 3)


def test_an_image_is_upright_and_cropped_to_its_centre(tmp_path):
    pixels = np.zeros((3, 9), np.uint8)
    pixels[:, 3:6] = [[0, 31, 61], [97, 127, 157], [193, 223, 253]]
    image = Image.fromarray(pixels)
    image.save(tmp_path / "a.png")
    read = read_file(tmp_path / "a.png", (3, 3, 3), "")
    np.testing.assert_array_equal(read, np.stack([pixels[:, 3:6]] * 3, axis=-1))
    exif = Image.Exif()
    exif[0x0112] = 6  # what the camera wrote must be turned clockwise by a quarter
    image.save(tmp_path / "b.png", exif=exif)
    np.testing.assert_array_equal(read_file(tmp_path / "b.png", (3, 3, 3), ""), np.rot90(read, -1))


def test_a_damaged_image_is_named_and_nothing_written(folder):
    damaged = folder / "train" / "dog" / "c.bmp"
    damaged.write_bytes(damaged.read_bytes()[:17])
    with pytest.raises(UserError, match=r"cannot read .*c\.bmp \(.*\): mend it") as error:
        prepare(folder)
    assert "\n" not in str(error.value)
    assert not list(folder.parent.rglob("*.array_record*"))


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ("valid/cat/e.png", r"unknown split in .*images 'valid': did you mean 'validation'\?"),
        ("test/dgo/e.png", r"unknown class in .*test 'dgo': did you mean 'dog'\?"),
        ("train/cow/notes.txt", r"cow has no image \(\.bmp"),
    ],
)
def test_a_folder_that_is_not_as_it_must_be_is_named(folder, added, message):
    (folder / added).parent.mkdir(parents=True)
    if added.endswith("png"):
        save(folder / added, 3)
    with pytest.raises(UserError, match=message):
        prepare(folder)


def test_too_few_folders_are_refused(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(UserError, match="images has no folder train: put images as train/CLASS"):
        prepare(tmp_path / "images")
    save(tmp_path / "images" / "train" / "cat" / "a.png", 3)
    with pytest.raises(UserError, match="train has 1 folders: give each of at least two classes"):
        prepare(tmp_path / "images")
    with pytest.raises(UserError, match=r"cannot read .*nothing \(No such file or directory\)"):
        prepare(tmp_path / "nothing")
    with pytest.raises(UserError, match="image_size must be at least 1, not 0"):
        prepare(tmp_path / "images", image_size=0)
