import collections
import pathlib

import numpy as np
import pytest
from prepared import read_splits

from flax_transformer.data.datasets.moving_digits import (
    DIRECTIONS,
    MOTIONS,
    NUM_ANGLES,
    NUM_FRAMES,
    SIZE,
    move,
)
from flax_transformer.data.pixels_config import VideosConfig

SPLIT_SIZES = {"train": 4_000, "validation": 500, "test": 1_000}
PATHS = [(motion, "up") for motion in MOTIONS[:-1]]
PATHS += [("bouncing", direction) for direction in DIRECTIONS]


def prepare(folder: pathlib.Path) -> dict[str, list[dict]]:
    return read_splits(VideosConfig(data_dir=str(folder)), *SPLIT_SIZES)


@pytest.fixture(scope="module")
def splits(tmp_path_factory) -> dict[str, list[dict]]:
    return prepare(tmp_path_factory.mktemp("moving_digits"))


def by_class(examples: list[dict]) -> dict[int, list[np.ndarray]]:
    videos = collections.defaultdict(list)
    for example in examples:
        videos[example["label"]].append(example["video"])
    return videos


def test_splits_have_their_sizes_and_even_classes(splits):
    assert {split: len(examples) for split, examples in splits.items()} == SPLIT_SIZES
    for examples in splits.values():
        labels = np.bincount([example["label"] for example in examples])
        assert labels.tolist() == [len(examples) // 10] * 10
        assert examples[0]["video"].shape == (NUM_FRAMES, SIZE, SIZE, 1)


def test_first_frames_are_the_same_in_every_class(splits):
    for examples in splits.values():
        first = {
            label: collections.Counter(video[0].tobytes() for video in videos)
            for label, videos in by_class(examples).items()
        }
        assert len(first) == len(MOTIONS)
        assert all(frames == first[0] for frames in first.values())


@pytest.mark.parametrize(("motion", "direction"), PATHS)
def test_no_frame_of_its_own_tells_the_motion(motion, direction):
    """All starts, taken together, are all places and angles once again at any later time."""
    shape = (SIZE, SIZE, NUM_ANGLES)
    starts = np.indices(shape).reshape(3, -1).T
    for moved in move(motion, direction):
        states = np.ravel_multi_index(((starts + moved) % shape).T, shape)
        assert (np.bincount(states) == 1).all()
        assert len(states) == np.prod(shape)


def test_frames_in_their_order_tell_the_motion():
    # A bouncing digit turns back within any four frames.
    for start in range(NUM_FRAMES - 3):
        steps = [np.diff(move(*path)[start : start + 4], axis=0).tobytes() for path in PATHS]
        assert len(set(steps)) == len(PATHS)


def test_every_class_moves_a_scene_in_its_own_way(splits):
    scenes = collections.defaultdict(set)
    for example in splits["test"]:
        scenes[example["video"][0].tobytes()].add(example["video"].tobytes())
    assert min(len(videos) for videos in scenes.values()) == len(MOTIONS)


def test_a_video_is_its_first_frame_moved(splits):
    for example in splits["validation"][:97]:
        motion = MOTIONS[example["label"]]
        if motion in DIRECTIONS:
            first, last = example["video"][0, ..., 0], example["video"][-1, ..., 0]
            down, right, _ = move(motion, "up")[-1]
            np.testing.assert_array_equal(last, np.roll(first, (down, right), (0, 1)))


def test_no_frame_stands_in_two_splits(splits):
    frames = {
        split: {video.tobytes() for example in examples for video in example["video"]}
        for split, examples in splits.items()
    }
    assert not frames["train"] & frames["test"]
    assert not frames["train"] & frames["validation"]
    assert not frames["validation"] & frames["test"]


def test_a_second_preparation_gives_the_same_videos(splits, tmp_path):
    again = prepare(tmp_path)
    for split, examples in splits.items():
        for one, other in zip(examples, again[split], strict=True):
            assert one["label"] == other["label"]
            np.testing.assert_array_equal(one["video"], other["video"])
