import os
import pathlib
from typing import Any

import numpy as np
import pytest
from PIL import Image
from prepared import read_splits

from flax_transformer.data.datasets.datasets import open_split
from flax_transformer.data.files.image_files import read_images
from flax_transformer.data.pixels_config import ImagesConfig
from flax_transformer.errors import UserError

GRAYS = {
    "train/cat/b.png": 11,
    "train/cat/a.PNG": 23,
    "train/dog/c.bmp": 47,
    "test/dog/d.png": 89,
}

COLORS = ("white", "black", "#ffffff")


def prepare(
    folder: pathlib.Path, image_size: int = 5, **options: Any
) -> tuple[tuple[str, ...], dict]:
    data_dir = str(folder.parent / "prepared")
    config = ImagesConfig(
        "image_folders", folder=str(folder), data_dir=data_dir, image_size=image_size, **options
    )
    names = [name for name in ("validation", "test") if _has(folder, name)]
    return open_split(config, "train").class_names, read_splits(config, "train", *names)


def _has(folder: pathlib.Path, split: str) -> bool:
    return folder.is_dir() and any(p.name.lower().startswith(split[:3]) for p in folder.iterdir())


def save(path: pathlib.Path, gray: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (13, 7), gray).save(path)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "images"
    for name, gray in GRAYS.items():
        save(folder / name, gray)
    (folder / "train" / "cat" / "notes.txt").touch()
    (folder / ".git").mkdir()
    return folder


def test_folders_are_splits_and_classes(folder):
    names, splits = prepare(folder)
    assert names == ("cat", "dog")
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


def test_an_image_is_upright_and_cropped_to_its_center(tmp_path):
    pixels = np.zeros((3, 9), np.uint8)
    pixels[:, 3:6] = [[0, 31, 61], [97, 127, 157], [193, 223, 253]]
    image = Image.fromarray(pixels)
    image.save(tmp_path / "a.png")
    read = read_images(tmp_path / "a.png", (3, 3, 3))[0]
    np.testing.assert_array_equal(read, np.stack([pixels[:, 3:6]] * 3, axis=-1))
    exif = Image.Exif()
    exif[0x0112] = 6  # what the camera wrote must be turned clockwise by a quarter
    image.save(tmp_path / "b.png", exif=exif)
    turned = read_images(tmp_path / "b.png", (3, 3, 3))[0]
    np.testing.assert_array_equal(turned, np.rot90(read, -1))


def test_a_damaged_image_is_named_and_nothing_written(folder):
    damaged = folder / "train" / "dog" / "c.bmp"
    damaged.write_bytes(damaged.read_bytes()[:17])
    with pytest.raises(UserError, match=r"cannot read .*c\.bmp \(.*\): fix it, take it") as error:
        prepare(folder)
    assert "\n" not in str(error.value)
    assert not list(folder.parent.rglob("*.npy"))


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ("vaild/cat/e.png", r"unknown split in .*images 'vaild': did you mean 'valid'\?"),
        ("test/dgo/e.png", r"unknown class in .*test 'dgo': did you mean 'dog'\?"),
        ("train/cow/notes.txt", r"cow has no image \(\.jpg"),
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
    with pytest.raises(UserError, match=r"--data\.image-size must be at least 1, not 0"):
        prepare(tmp_path / "images", image_size=0)


def grays(examples: list[dict]) -> list[int]:
    return [int(example["image"].max()) for example in examples]


def test_classes_and_images_are_in_natural_order(tmp_path):
    for gray, name in enumerate(("10/1.png", "2/12.png", "2/3.png", "2/1.png")):
        save(tmp_path / "images" / "train" / name, gray)
    names, splits = prepare(tmp_path / "images")
    assert names == ("2", "10")
    assert grays(splits["train"]) == [3, 2, 1, 0]
    assert [example["label"] for example in splits["train"]] == [0, 0, 0, 1]


def test_every_ending_is_read_in_folders_at_any_depth(tmp_path):
    folder = tmp_path / "images"
    names = ["a.tif", "b.TIFF", "c.jp2", "d.pgm", "e.tga", "f.PNG", "g/1.jfif", "g/h/2.webp"]
    for name in names:
        save(folder / "train" / "cat" / name, 64)
    save(folder / "train" / "dog" / "a.png", 64)
    (folder / "train" / "cat" / "loop").symlink_to(folder / "train")
    assert len(prepare(folder)[1]["train"]) == len(names) + 2  # through the loop, the dog too


def test_what_is_passed_over_is_named_but_for_what_systems_add(folder):
    for name in ("._b.png", ".DS_Store", "__MACOSX/train/cat/._b.png", "train/__MACOSX/a.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    for name in ("readme.md", "train/stray.png", "train/cat/more/film.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    told = (
        r"skipped 4 files in .*images, not read as images: readme\.md, train/stray\.png, "
        r"train/cat/more/film\.mp4, train/cat/notes\.txt$"
    )
    with pytest.warns(UserWarning, match=told):
        assert len(prepare(folder)[1]["train"]) == 3


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_a_validation_split_has_several_names(folder, name):
    save(folder / name / "dog" / "e.png", 97)
    assert grays(prepare(folder)[1]["validation"]) == [97]


def test_two_validation_splits_are_refused(folder):
    for name in ("val", "valid"):
        save(folder / name / "dog" / "e.png", 97)
    message = r"images/val and .*images/valid are both folders of validation: move the images of"
    with pytest.raises(UserError, match=message):
        prepare(folder)


def test_a_pipe_that_is_named_as_an_image_is_passed_over(folder):
    os.mkfifo(folder / "train" / "cat" / "pipe.png")
    (folder / "train" / "cat" / "gone.png").symlink_to("nowhere.png")
    with pytest.warns(UserWarning, match="skipped 3 files .*gone.png, .*notes.txt, .*pipe.png"):
        assert len(prepare(folder)[1]["train"]) == 3


def spoil(folder: pathlib.Path) -> list[str]:
    """Makes three files bad, of two splits: an empty one, one of HTML, and a truncated one."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (64, 64), np.uint8)).save(folder / "train/cat/c.jpg")
    cut = (folder / "train/cat/c.jpg").read_bytes()[:900]
    for name, contents in (
        ("train/cat/b.png", b""),
        ("train/cat/c.jpg", cut),
        ("test/dog/e.jpg", b"<html>"),
    ):
        (folder / name).write_bytes(contents)
    return ["b.png", "c.jpg", "e.jpg"]


def test_all_bad_files_are_listed_in_one_error(folder):
    bad = spoil(folder)
    with pytest.raises(UserError) as error:
        prepare(folder)
    message = str(error.value)
    assert message.startswith("cannot read 3 files: ")
    assert message.endswith(
        ": fix them, take them away, or give --data.skip-bad-files to leave them out"
    )
    assert all(message.count(name) == 1 for name in bad)
    assert "\n" not in message
    assert not list(folder.parent.rglob("*.npy"))


def test_of_many_bad_files_ten_are_named(folder):
    for number in range(13):
        (folder / "train" / "cat" / f"{number}.gif").touch()
    with pytest.raises(UserError, match=r"cannot read 13 files: .*/9\.gif \(.*\) and 3 more: fix"):
        prepare(folder)


def test_bad_files_are_left_out_and_named_where_that_is_asked_for(folder):
    spoil(folder)
    with pytest.warns(UserWarning, match=r"left out 3 of 6 files: .*b\.png \(.*c\.jpg \(.*e\.jpg"):
        _, splits = prepare(folder, skip_bad_files=True)
    assert {split: grays(examples) for split, examples in splits.items()} == {
        "train": [23, 47],
        "test": [89],
    }
    # Data without the bad files is not used without the option that leaves them out.
    with pytest.raises(UserError, match="cannot read 3 files"):
        prepare(folder)
    # Fixed files are read.
    save(folder / "train" / "cat" / "b.png", 11)
    assert grays(prepare(folder, skip_bad_files=True)[1]["train"]) == [23, 11, 47]


def test_a_class_of_bad_files_alone_is_refused(folder):
    (folder / "train" / "dog" / "c.bmp").write_bytes(b"")
    message = r"cannot read any file of the class dog in train: .*c\.bmp \(.*\): fix them, or take"
    with pytest.raises(UserError, match=message):
        prepare(folder, skip_bad_files=True)


def test_another_background_is_prepared_apart(tmp_path):
    for name in ("cat", "dog"):
        path = tmp_path / "images" / "train" / name / "a.png"
        path.parent.mkdir(parents=True)
        Image.new("RGBA", (3, 3), (0, 0, 0, 0)).save(path)
    found = [grays(prepare(tmp_path / "images", background=name)[1]["train"]) for name in COLORS]
    assert found == [[255, 255], [0, 0], [255, 255]]
    assert len(list(tmp_path.rglob("*train_inputs.npy"))) == 2  # white under both names
