import os
import pathlib
from typing import Any

import numpy as np
import pytest
from PIL import Image
from prepared import read_splits

from flax_transformer.data.video_folders import VideoFolders
from flax_transformer.errors import UserError


def prepare(folder: pathlib.Path, **sizes: int) -> tuple[Any, dict]:
    build: Any = VideoFolders
    builder = build(
        folder=str(folder),
        data_dir=str(folder.parent / "prepared"),
        file_format="array_record",
        **{"image_size": 5, "num_frames": 2} | sizes,
    )
    return builder, read_splits(builder)


def save(path: pathlib.Path, *greys: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = [Image.new("L", (13, 7), grey) for grey in greys]
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
    return folder


def test_folders_are_splits_and_classes(folder):
    builder, splits = prepare(folder)
    assert builder.info.features["label"].names == ["fall", "rise"]
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
    with pytest.raises(UserError, match=r"cannot read .*b\.gif \(.*\): mend it, or take it away"):
        prepare(folder)
    assert not list(folder.parent.rglob("*.array_record*"))


def test_sizes_that_no_video_has_are_refused(folder):
    with pytest.raises(UserError, match="num_frames must be at least 1, not 0"):
        prepare(folder, num_frames=0)
