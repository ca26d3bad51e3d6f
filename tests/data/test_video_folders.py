import os
import pathlib
from typing import Any

import numpy as np
import pytest
from films_of_tests import save_film
from PIL import Image
from prepared import read_splits

from flax_transformer.data.datasets.datasets import open_split
from flax_transformer.data.pixels_config import VideosConfig
from flax_transformer.errors import UserError


def prepare(folder: pathlib.Path, **options: Any) -> tuple[tuple[str, ...], dict]:
    data_dir = str(folder.parent / "prepared")
    sizes: Any = {"image_size": 5, "num_frames": 2} | options
    config = VideosConfig(
        "video_folders",
        folder=str(folder),
        data_dir=data_dir,
        **sizes,
    )
    names = [name for name in ("validation", "test") if _has(folder, name)]
    return open_split(config, "train").class_names, read_splits(config, "train", *names)


def _has(folder: pathlib.Path, split: str) -> bool:
    return folder.is_dir() and any(p.name.lower().startswith(split[:3]) for p in folder.iterdir())


def save(path: pathlib.Path, *grays: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = [Image.new("L", (13, 7), gray) for gray in grays]
    first.save(path, save_all=True, append_images=rest)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "videos"
    save(folder / "train" / "rise" / "b.gif", 10, 20, 30)
    save(folder / "train" / "rise" / "a" / "0.png", 40)
    save(folder / "train" / "rise" / "a" / "1.png", 50)
    save(folder / "train" / "fall" / "c.PNG", 90, 80)
    save(folder / "validation" / "fall" / "d.webp", 70, 60)
    (folder / "train" / "fall" / "notes.txt").touch()
    (folder / "train" / "fall" / "nothing").mkdir()
    (folder / "train" / "rise" / "a" / "gone.png").symlink_to("nowhere.png")
    return folder


def test_folders_are_splits_and_classes(folder):
    names, splits = prepare(folder)
    assert names == ("fall", "rise")
    told = {
        split: [(x["video"][:, 2, 2, 0].tolist(), x["label"]) for x in examples]
        for split, examples in splits.items()
    }
    near = pytest.approx
    assert told == {
        "train": [([90, 80], 0), ([40, 50], 1), ([10, 30], 1)],
        "validation": [(near([70, 60], abs=3), 0)],  # WebP loses a little
    }
    assert splits["train"][0]["video"].shape == (2, 5, 5, 3)


def test_changed_frames_and_another_size_are_prepared_anew(folder):
    prepare(folder)
    changed = folder / "train" / "rise" / "a" / "1.png"
    save(changed, 55)
    os.utime(changed, (1, 1))
    assert np.unique(prepare(folder)[1]["train"][1]["video"]).tolist() == [40, 55]
    assert prepare(folder, num_frames=3)[1]["train"][2]["video"].shape == (3, 5, 5, 3)
    assert prepare(folder, image_size=3)[1]["train"][2]["video"].shape == (2, 3, 3, 3)


def test_a_class_without_a_clip_is_named(folder):
    (folder / "train" / "stand").mkdir()
    with pytest.raises(UserError, match=r"stand has no video \(.*\.mp4.*, or a folder of images\)"):
        prepare(folder)


def test_a_damaged_clip_is_named_and_nothing_written(folder):
    (folder / "train" / "rise" / "b.gif").write_bytes(b"GIF89a")
    with pytest.raises(UserError, match=r"cannot read .*b\.gif \(.*\): fix it, take it away, or"):
        prepare(folder)
    assert not list(folder.parent.rglob("*.npy"))


def test_sizes_that_no_video_has_are_refused(folder):
    with pytest.raises(UserError, match=r"--data\.num-frames must be at least 1, not 0"):
        prepare(folder, num_frames=0)


def test_clips_in_folders_at_any_depth_are_read_and_what_is_passed_over_is_named(folder):
    more = folder / "train" / "fall" / "more"
    save(more / "c" / "2.png", 10)
    save(more / "c" / "10.png", 20)
    save_film(more / "a.MPG", gray_frames(), codec="mpeg2video")
    save_film(more / "b.ts", gray_frames())
    with pytest.warns(UserWarning, match=r"skipped 1 file .*videos: train/fall/notes\.txt$"):
        _, splits = prepare(folder)
    found = [video["video"][:, 2, 2, 0].tolist() for video in splits["train"]]
    near = pytest.approx
    assert found == [
        [90, 80],
        near([0, 200], abs=4),
        near([0, 200], abs=4),
        [10, 20],
        [40, 50],
        [10, 30],
    ]


def test_bad_videos_are_left_out_and_of_damaged_ones_a_part_is_read(folder):
    path = folder / "train" / "fall" / "d.mkv"
    save_film(path, gray_frames())
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    (folder / "train" / "rise" / "b.gif").write_text("<html>")
    (folder / "train" / "rise" / "a" / "1.png").write_text("<html>")
    with pytest.raises(UserError) as error:
        prepare(folder)
    message = str(error.value)
    assert message.startswith("cannot read 3 files: ")
    for told in ("d.mkv (it ends after", "b.gif (it is empty", "a (1.png: it is empty"):
        assert message.count(told) == 1
    with pytest.warns(UserWarning, match="of 5 files: ") as warned:
        _, splits = prepare(folder, skip_bad_files=True)
    lines = [str(warning.message) for warning in warned]
    assert sum(line.startswith("left out 1 of 5 files: ") for line in lines) == 1
    assert sum(line.startswith("read a part of 2 of 5 files: ") for line in lines) == 1
    first, of_film, of_folder = [video["video"][:, 2, 2, 0] for video in splits["train"]]
    assert first.tolist() == [90, 80]
    assert of_film[0] <= 4 < of_film[1] < 190
    assert of_folder.tolist() == [40, 40]


def gray_frames() -> list[Image.Image]:
    return [Image.new("L", (16, 16), gray) for gray in range(0, 201, 10)]
