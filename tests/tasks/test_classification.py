from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from overfitting import fit
from pixels import smoothed_cross_entropy
from reference import assert_close
from small_tasks import picture_task

from flax_transformer.data.batches.batch import LabeledBatch
from flax_transformer.data.batches.examples import ArrayInputs, Examples
from flax_transformer.errors import UserError
from flax_transformer.models import VideoConfig, VisionConfig
from flax_transformer.tasks.classification.classification_config import ClassificationConfig
from flax_transformer.tasks.classification.classifier import ROWS, Classifier
from flax_transformer.tasks.classification.pixel_classification import ImageClassification

SIZES: Any = {"num_layers": 1, "d_model": 16, "d_ff": 32, "num_heads": 2, "num_channels": 1}
NAMES = ("a", "b", "c")


def image_task(label_smoothing: float = 0.0) -> ImageClassification:
    config = VisionConfig(**SIZES, image_size=(4, 6), patch_size=(2, 3))
    return picture_task(config, NAMES, label_smoothing)


def video_task(variant: Any) -> ImageClassification:
    config = VideoConfig(
        **SIZES,
        variant=variant,
        image_size=(4, 6),
        patch_size=(2, 3),
        num_frames=4,
        tubelet_frames=2,
        num_time_layers=1,
        pooling="mean",
    )
    return picture_task(config, NAMES)


def batch_of(shape, labels) -> LabeledBatch:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (len(labels), *shape), np.uint8)
    return LabeledBatch(pixels, np.array(labels, np.int32))


def logits_of(task, variables, batch):
    inputs = jnp.asarray(batch.inputs, jnp.float32) / 127.5 - 1
    return jax.jit(task.model.apply)(variables, inputs)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.3])
def test_the_loss_is_the_smoothed_cross_entropy_of_the_rows_with_a_class(label_smoothing):
    task = image_task(label_smoothing)
    variables = task.init(jax.random.key(0))
    batch = batch_of((4, 6, 1), [2, -1, 0, 1, -1])
    loss, weight, statistics, _ = jax.jit(task.loss)(variables, batch, jax.random.key(1))
    rows = [0, 2, 3]
    logits = logits_of(task, variables, batch)[jnp.array(rows)]
    expected = smoothed_cross_entropy(logits, np.eye(3)[batch.labels[rows]], label_smoothing)
    np.testing.assert_allclose(loss, expected.sum(), rtol=1e-5)
    assert (float(weight), statistics) == (3, {})


def test_rows_that_fill_a_batch_change_no_gradient():
    task = image_task()
    variables = task.init(jax.random.key(0))
    gradient = jax.jit(jax.grad(lambda params, batch: task.loss({"params": params}, batch, key)[0]))
    key = jax.random.key(1)
    batch = batch_of((4, 6, 1), [2, -1, 0])
    without = LabeledBatch(batch.inputs[[0, 2]], batch.labels[[0, 2]])
    both = [gradient(variables["params"], given) for given in (batch, without)]
    # Of the whole gradient: that of a key's bias is nothing but rounding.
    actual, expected = (ravel_pytree(tree)[0] for tree in both)
    assert_close(actual, expected, 1e-6)


def test_a_prediction_is_the_softmax_and_its_loss():
    task = image_task(0.3)
    variables = task.init(jax.random.key(0))
    batch = batch_of((4, 6, 1), [2, -1, 0])
    probabilities, nll = task.predict(variables, batch)
    logits = np.asarray(logits_of(task, variables, batch), np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-5)
    wanted = [-np.log(expected[0, 2]), 0, -np.log(expected[2, 0])]
    np.testing.assert_allclose(nll, wanted, rtol=1e-5)


@pytest.mark.parametrize(
    "task",
    [
        image_task(),
        *(
            video_task(variant)
            for variant in (
                "joint",
                "factorized_encoder",
                "factorized_self_attention",
                "factorized_dot_product",
            )
        ),
    ],
    ids=lambda task: getattr(task.model.config, "variant", "image"),
)
def test_every_model_learns_a_batch_by_heart(task):
    batch = batch_of(task.shape, [0, 1, 2, 1, 0, 2, 2])
    variables = task.init(jax.random.key(0))

    def loss(variables):
        total, weight, *_ = task.loss(variables, batch, jax.random.key(1))
        return total / weight

    first, last = fit(loss, variables, num_steps=80)
    assert first > 0.8
    assert last < 0.05


def classifier() -> Classifier:
    task = image_task()
    return task.predictor(task.init(jax.random.key(0)))


def test_every_example_gets_its_own_prediction_whatever_the_batch():
    number = ROWS + 7
    batch = batch_of((4, 6, 1), np.arange(number) % 3)
    one = classifier()
    examples = Examples(ArrayInputs(batch.inputs), batch.labels, NAMES)
    probabilities, nll = one.predict(examples)
    expected = one.task.predict(one.variables, batch)
    np.testing.assert_allclose(probabilities, expected[0], rtol=1e-5)
    np.testing.assert_allclose(nll, expected[1], rtol=1e-5)


def test_a_classifier_tells_the_most_probable_class_first():
    one = classifier()
    images = list(batch_of((4, 6, 1), [0, 0]).inputs)
    predictions = one.classify(images)
    batch = LabeledBatch(np.stack(images), np.array([-1, -1], np.int32))
    for row, (label, probabilities) in zip(
        one.task.predict(one.variables, batch)[0], predictions, strict=True
    ):
        assert label == next(iter(probabilities)) == NAMES[int(row.argmax())]
        assert list(probabilities) == [NAMES[i] for i in np.argsort(-row)]
        assert probabilities == pytest.approx(dict(zip(NAMES, map(float, row), strict=True)))
    assert one.classify([]) == []


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_a_smoothing_that_is_no_share_is_refused(smoothing):
    with pytest.raises(UserError, match=r"--task\.label-smoothing must be in \[0, 1\)"):
        ClassificationConfig(smoothing)
