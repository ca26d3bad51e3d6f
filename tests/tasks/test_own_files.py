"""A user's own files, read as those of a split are."""

import dataclasses

import jax
import numpy as np
import pytest
from PIL import Image
from untrained import CLASS_NAMES, EXPERIMENTS, SUBWORDS

from flax_transformer.data.datasets.own_files import OwnFiles
from flax_transformer.errors import UserError
from flax_transformer.tasks.classification.pixel_classification import VideoClassification
from flax_transformer.tasks.given_texts import CutTextWarning
from flax_transformer.tasks.masked_language_modeling.masked_language_modeling_task import (
    MaskedLanguageModelingTask,
)


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
        task = VideoClassification(parts, CLASS_NAMES)
        examples = task.read_own(OwnFiles(folder=tmp_path / "own"))
        assert examples.labels.tolist() == [CLASS_NAMES.index("dog")]
        frames[still] = examples.inputs.take(np.array([0]))[0][0].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(frames[False], 40 * np.arange(6), atol=2)
    np.testing.assert_array_equal(frames[True], np.full(6, frames[False][0]))


def test_texts_to_fill_are_those_of_a_table_or_the_lines_of_a_text(tmp_path):
    """For a model trained on labeled texts; longer texts are cut and reported."""
    parts = dataclasses.replace(EXPERIMENTS["masked"], data=EXPERIMENTS["texts"].data)
    task = MaskedLanguageModelingTask(parts, SUBWORDS)
    variables = task.init(jax.random.key(0))
    texts = ["twenty two", "two twenty-two", "a" * 40]
    rows = "".join(f"{text}\tany\n" for text in texts)
    (tmp_path / "own.tsv").write_text(f"text\tlabel\n{rows}")
    (tmp_path / "own.txt").write_text("\n\n".join(texts))
    scores = []
    for name in ("own.tsv", "own.txt"):
        with pytest.warns(CutTextWarning, match="1 of 3 texts is longer than --data.max-length 17"):
            scored = task.evaluate(variables, OwnFiles(file=tmp_path / name), is_quick=True)
        scores.append(scored.scores)
    assert scores[0] == scores[1]
    (tmp_path / "blank.txt").write_text("\n \n")
    with pytest.raises(UserError, match=r"blank\.txt has no line of text: give another file"):
        task.evaluate(variables, OwnFiles(file=tmp_path / "blank.txt"))
