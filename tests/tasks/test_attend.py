"""What each kind of model shows of one input; test_hypothesis_attention.py is of translators."""

import dataclasses
import inspect
from typing import Any, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from reference import assert_close
from small_tasks import to_segments
from untrained import (
    CHARACTERS,
    CLASS_NAMES,
    EXPERIMENTS,
    HEADS,
    LAYERS,
    MAX_LENGTH,
    SUBWORDS,
    write_workdir,
)

from flax_transformer.data.tokens.tokenizer import BOS, EOS
from flax_transformer.errors import UserError
from flax_transformer.inspection import attention_weights, video_attention
from flax_transformer.tasks.tasks import TASKS, find_task
from flax_transformer.training.assemble import load
from flax_transformer.visualization import view_attention

FRAMES = np.random.default_rng(0).integers(0, 256, (6, 4, 6), np.uint8)


@pytest.fixture(scope="module")
def predictors(tmp_path_factory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("untrained")
    return {
        name: load(write_workdir(folder / name, experiment))
        for name, experiment in EXPERIMENTS.items()
    }


@pytest.fixture
def files(tmp_path) -> dict[str, str]:
    images = [Image.fromarray(frame) for frame in FRAMES]
    image, video = tmp_path / "image.png", tmp_path / "video.png"
    images[0].save(image)
    images[0].save(video, save_all=True, append_images=images[1:])
    return {"images": str(image), "videos": str(video)}


@pytest.mark.parametrize("name", TASKS)
def test_every_kind_says_what_its_attention_takes(name):
    task = TASKS[name]
    predictor = get_type_hints(task.predictor)["return"]
    _, _, *options = inspect.signature(predictor.attend).parameters
    assert tuple(options) == TASKS[name].attention_options


def told(classifier: Any, example: str, inputs: Any, method: str = "__call__") -> str:
    """The end of a title, from the model's logits of what it is to read."""
    model = classifier.model
    (logits,) = np.asarray(model.apply(classifier.variables, inputs[None], method=method))
    probabilities = np.exp(logits.astype(np.float64))
    best = int(probabilities.argmax())
    return (
        f"{example} → {CLASS_NAMES[best]} ({100 * probabilities[best] / probabilities.sum():.1f}%"
    )


def test_a_classifier_of_texts_shows_the_tokens_that_it_reads(predictors):
    classifier, text = predictors["texts"], "two ü"
    found = classifier.attend(text)
    ids = jnp.array([BOS, *SUBWORDS.encode(text), EOS])
    assert found["tokens"] == ["<s>", "two", " ", "\\xc3", "\\xbc", "</s>"]
    assert found["title"].startswith(told(classifier, text, ids, "classify"))
    # As in a batch, in which it is padded.
    padded = jnp.zeros((3, 16), jnp.int32).at[1, : len(ids)].set(ids)
    model = classifier.model
    inputs = {"tokens": padded, "segments": to_segments(padded)}
    of_batch = attention_weights(model, classifier.variables, inputs)["encoder"]
    assert found["weights"]["encoder"].shape == (LAYERS, HEADS, len(ids), len(ids))
    assert_close(found["weights"]["encoder"], of_batch[:, 1, :, : len(ids), : len(ids)], 1e-5)
    view_attention(**found)


def test_a_classifier_of_images_shows_the_pixels_of_the_file(predictors, files):
    classifier, image = predictors["images"], jnp.asarray(FRAMES[0][..., None])
    found = classifier.attend(files["images"])
    scaled = image / 127.5 - 1
    assert found["title"].startswith(told(classifier, files["images"], scaled))
    np.testing.assert_array_equal(found["image"], np.repeat(image, 3, axis=-1))
    assert found["patches"] == (2, 3)
    model = classifier.model
    expected = attention_weights(model, classifier.variables, scaled[None])["encoder"][:, 0]
    assert_close(found["weights"], expected, 1e-5)
    view_attention(**found)


def test_a_classifier_of_videos_shows_the_frames_of_the_file(predictors, files):
    classifier, video = predictors["videos"], jnp.asarray(FRAMES[..., None])
    found = classifier.attend(files["videos"])
    scaled = video / 127.5 - 1
    assert found["title"].startswith(told(classifier, files["videos"], scaled))
    # And which layers are those over space.
    expected = video_attention(classifier.model, classifier.variables, scaled)
    assert found["title"].endswith(f" - {expected['title']}")
    np.testing.assert_array_equal(found["video"], np.repeat(video, 3, axis=-1))
    assert found["patches"] == expected["patches"]
    assert_close(found["weights"], expected["weights"], 1e-5)
    view_attention(**found)


def test_a_masked_language_model_shows_its_gaps_as_tokens(predictors):
    filler = predictors["masked"]
    found = filler.attend("a [MASK]")
    weights = found["weights"]["encoder"]
    assert found["tokens"][0] == "<s>"
    assert found["tokens"][-2:] == ["[MASK]", "</s>"]
    assert weights.shape[-2:] == (len(found["tokens"]),) * 2
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    assert weights[..., -2].max() > 0.01  # a gap is no padding
    (filled,) = filler.fill(["a [MASK]"], 1)
    assert found["title"] == f"a [MASK] → {filled.text}"


def test_a_language_model_shows_the_text_alone(predictors):
    generator, text = predictors["language_model"], "bad\n h"
    found = generator.attend(text)
    assert found["title"] == text
    assert found["target_tokens"] == ["b", "a", "d", "\n", " ", "h"]
    ids = jnp.array([CHARACTERS.encode(text)])
    expected = attention_weights(generator.model, generator.variables, ids)["decoder"][:, 0]
    assert_close(found["weights"]["decoder"], expected, 1e-5)
    assert r"\u23ce" in view_attention(**found).page  # the sign of a line end


def test_a_language_model_shows_what_it_writes(predictors):
    """As much as the model reads, and one token more, which nothing reads."""
    generator, text = predictors["language_model"], "bad"
    found = generator.attend(text, MAX_LENGTH - len(text) + 1)
    whole = found["title"]
    assert whole.startswith(text)
    assert len(whole) == MAX_LENGTH + 1  # not ended before
    ids = CHARACTERS.encode(whole)
    assert found["target_tokens"] == CHARACTERS.names(ids)[:-1]
    logits: Any = generator.model.apply(generator.variables, jnp.array([ids[:-1]]))
    most_probable = 2 + np.asarray(logits)[0, len(text) - 1 :, 2:].argmax(axis=-1)
    assert most_probable.tolist() == ids[len(text) :]
    as_read = generator.attend(whole[:-1])
    assert_close(found["weights"]["decoder"], as_read["weights"]["decoder"], 1e-5)


@pytest.mark.parametrize(
    ("kind", "words", "message"),
    [
        ("texts", (" ",), "text is blank: give one to look at"),
        ("texts", ("tt" * 8,), r"text has 18 tokens, but the model reads 17: give a shorter one"),
        ("language_model", ("",), "text is blank"),
        ("language_model", ("a" * 18,), "text has 18 tokens, but the model reads 17"),
        ("language_model", ("abc", 16), "length 16 is more than the 15 tokens that the model can"),
        ("language_model", ("abc", 0), "--length must be at least 1, not 0"),
        ("images", ("none.png",), "cannot read none.png"),
        ("videos", ("none.png",), "cannot read none.png"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(predictors, kind, words, message):
    with pytest.raises(UserError, match=message) as error:
        predictors[kind].attend(*words)
    assert "\n" not in str(error.value)


def test_as_long_as_the_model_reads_is_not_too_long(predictors):
    assert len(predictors["texts"].attend("tt" * 7 + "t")["tokens"]) == MAX_LENGTH
    assert len(predictors["language_model"].attend("a" * MAX_LENGTH)["tokens"]) == MAX_LENGTH


@pytest.mark.parametrize("kind", EXPERIMENTS)
def test_attention_in_blocks_shows_the_weights_of_the_formula(predictors, files, tmp_path, kind):
    experiment = EXPERIMENTS[kind]
    config = dataclasses.replace(experiment.model, attention_implementation="blockwise")
    changed = dataclasses.replace(experiment, model=config)
    write_workdir(tmp_path / kind, experiment)
    task = find_task(changed)[1].open(changed, tmp_path / kind, training=False)
    for options in ({}, {"length": 3}) if kind == "language_model" else ({},):
        example = {"masked": "abc [MASK]", **files}.get(kind, "abc")
        shown = task.predictor(predictors[kind].variables).attend(example, **options)
        expected = predictors[kind].attend(example, **options)
        assert shown["title"] == expected["title"]
        for found, weights in zip(
            *map(jax.tree.leaves, (shown["weights"], expected["weights"])), strict=True
        ):
            assert_close(found, weights, 1e-5)


def test_seeds_are_not_needed(predictors):
    """Sampling, too, shows the same each time."""
    generator = predictors["language_model"]
    sampling = dataclasses.replace(generator.decoding, method="sample", num_best=3)
    one, two = (
        type(generator)(
            generator.model, generator.variables, generator.tokenizer, sampling, MAX_LENGTH
        ).attend("a", 7)
        for _ in range(2)
    )
    jax.tree.map(np.testing.assert_array_equal, one["weights"], two["weights"])
    assert one["title"] == two["title"]
