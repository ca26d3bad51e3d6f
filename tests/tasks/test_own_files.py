"""Files of a user's own, read as those of a split are."""

import dataclasses

import numpy as np
from PIL import Image
from untrained import CLASS_NAMES, EXPERIMENTS

from flax_transformer.data.own_files import OwnFiles
from flax_transformer.tasks.sources import VideoSource


def write_clip(path) -> None:
    path.parent.mkdir(parents=True)
    first, *rest = [Image.new("L", (6, 4), 40 * number) for number in range(6)]
    first.save(path, save_all=True, append_images=rest)


def test_the_control_of_videos_shows_first_frames_of_ones_own_files_too(tmp_path):
    write_clip(tmp_path / "own" / "dog" / "a.gif")
    experiment = EXPERIMENTS["videos"]
    frames = {}
    for still in (False, True):
        data = dataclasses.replace(experiment.data, still=still)
        parts = dataclasses.replace(experiment, data=data)
        source = VideoSource(parts, tmp_path, is_trained=True)
        examples = source.open_own(OwnFiles(folder=tmp_path / "own"), CLASS_NAMES)
        assert examples.labels.tolist() == [CLASS_NAMES.index("dog")]
        frames[still] = examples.inputs.take(np.array([0]))[0].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(frames[False], 40 * np.arange(6), atol=2)
    np.testing.assert_array_equal(frames[True], np.full(6, frames[False][0]))
