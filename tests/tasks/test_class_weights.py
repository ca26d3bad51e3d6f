"""Weights of the classes: the formula, their place in the loss, and what does not change them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from pixels import smoothed_cross_entropy
from reference import assert_close
from small import with_fields
from small_tasks import picture_task
from small_texts import TEXTS, classification

from flax_transformer.data.batches.batch import LabeledBatch
from flax_transformer.errors import UserError
from flax_transformer.experiment import Experiment
from flax_transformer.models import VisionConfig
from flax_transformer.tasks.classification.augmentation import Target
from flax_transformer.tasks.classification.classification_config import (
    ClassificationConfig,
    class_weights,
)
from flax_transformer.tasks.classification.pixel_classification import ImageClassification
from flax_transformer.tasks.classification.text_classification import TextClassification
from flax_transformer.training.parallel import choose_devices
from flax_transformer.training.step import init_state, make_gradient

NAMES = ("a", "b", "c")
LABELS = np.array([0] * 7 + [1] * 2 + [2] * 4)
SGD = optax.sgd(0.1)
SHAPE = (4, 6, 1)
WEIGHTS = np.array([0.01, 0.3, 0.07], np.float32)  # whose sum over a batch is below 1


def task_of(weights=None, label_smoothing=0.0, augment=None) -> ImageClassification:
    sizes = VisionConfig(
        num_layers=1, d_model=16, d_ff=32, num_heads=2, num_channels=1, image_size=(4, 6),
        patch_size=(2, 3),
    )  # fmt: skip
    task = picture_task(sizes, NAMES, label_smoothing, weights)
    task.augment = augment
    return task


def batch_of(labels) -> LabeledBatch:
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), *SHAPE), np.uint8)
    return LabeledBatch(pixels, np.array(labels, np.int32))


BATCH = batch_of([2, -1, 0, 1, 0, 0, -1, 2])


@functools.cache
def variables():
    return task_of().init(jax.random.key(0))


def expected_loss(targets, weights, label_smoothing=0.0) -> float:
    """sum_i w_i l_i in float64."""
    inputs = jnp.asarray(BATCH.inputs, jnp.float32) / 127.5 - 1
    logits = task_of().model.apply(variables(), inputs)
    return (smoothed_cross_entropy(logits, targets, label_smoothing) * weights).sum()


def test_balanced_weights_make_the_classes_equally_heavy():
    weights = class_weights(["balanced"], LABELS, NAMES)
    np.testing.assert_allclose(weights, [13 / (3 * 7), 13 / (3 * 2), 13 / (3 * 4)], rtol=1e-6)
    sums = np.bincount(LABELS, weights=weights[LABELS])
    np.testing.assert_allclose(sums, 13 / 3, rtol=1e-6)


def test_balanced_weights_are_those_of_scikit_learn():
    library = pytest.importorskip("sklearn.utils.class_weight", reason="needs the extra images")
    compute = library.compute_class_weight
    expected = compute("balanced", classes=np.arange(3), y=LABELS)
    np.testing.assert_allclose(class_weights(["balanced"], LABELS, NAMES), expected, rtol=1e-6)


def test_classes_and_rows_without_an_example_do_not_count():
    labels = np.append(LABELS, [-1, -1])
    weights = class_weights(["balanced"], labels, ("a", "b", "c", "never"))
    np.testing.assert_allclose(weights[:3], class_weights(["balanced"], LABELS, NAMES))
    assert weights[3] == 1


def test_given_weights_are_those_of_their_names():
    assert class_weights(["c=4", "a=0.5"], LABELS, NAMES).tolist() == [0.5, 1, 4]
    assert class_weights([], LABELS, NAMES).tolist() == [1, 1, 1]
    assert class_weights(["balanced=2"], LABELS, ("balanced", "b")).tolist() == [2, 1]


@pytest.mark.parametrize("label_smoothing", [0.0, 0.3])
def test_the_loss_and_its_weight_are_weighted_sums(label_smoothing):
    task = task_of(WEIGHTS, label_smoothing)
    loss, weight, *_ = task.loss(variables(), BATCH, jax.random.key(1))
    of_row = np.where(BATCH.labels < 0, 0, WEIGHTS[BATCH.labels])
    expected = expected_loss(np.eye(3)[BATCH.labels], of_row, label_smoothing)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(weight, of_row.sum(), rtol=1e-6)


def test_each_part_of_a_mixed_target_has_the_weight_of_its_class():
    def mix(key, inputs, targets):
        ((classes, weights),) = targets
        return inputs, (Target(classes, 0.7 * weights), Target((classes + 1) % 3, 0.3 * weights))

    task = task_of(WEIGHTS, augment=mix)
    loss, weight, *_ = task.loss(variables(), BATCH, jax.random.key(1))
    is_filled = BATCH.labels >= 0
    first, second = BATCH.labels, (np.maximum(BATCH.labels, 0) + 1) % 3
    parts = (0.7 * is_filled * WEIGHTS[first], first), (0.3 * is_filled * WEIGHTS[second], second)
    np.testing.assert_allclose(
        loss, sum(expected_loss(np.eye(3)[classes], of_row) for of_row, classes in parts), rtol=1e-5
    )
    np.testing.assert_allclose(weight, sum(of_row.sum() for of_row, _ in parts), rtol=1e-6)


@pytest.mark.parametrize(("num_devices", "accumulate_steps"), [(1, 1), (1, 4), (2, 2), (8, 1)])
def test_the_gradient_is_of_the_weighted_mean_on_devices_and_in_parts(
    num_devices, accumulate_steps
):
    task = task_of(WEIGHTS)
    devices = choose_devices(devices=jax.devices()[:num_devices])
    gradient = devices.compile(
        make_gradient(task.loss, accumulate_steps=accumulate_steps, axis_name=devices.axis_name)
    )
    state = devices.place(jax.device_get(init_state(variables(), SGD)))
    found = jax.device_get(devices.whole(gradient(state, devices.share(BATCH), jax.random.key(1))))

    def mean(params):
        loss, weight, *_ = task.loss({"params": params}, BATCH, jax.random.key(1))
        return loss / weight

    loss, expected = jax.value_and_grad(mean)(variables()["params"])
    np.testing.assert_allclose(found.loss, loss, rtol=1e-5)
    # Of the whole gradient: that of a key's bias is nothing but rounding.
    assert_close(ravel_pytree(found.mean)[0], ravel_pytree(expected)[0], 1e-5)


def test_a_task_takes_the_weights_of_its_training_split_and_scores_without(tmp_path):
    experiment = with_fields(classification(tmp_path), "task", class_weights=("balanced",))
    experiment = with_fields(experiment, "data", train_split="train[:13]")
    labels = [label for _, label in TEXTS[:13]]
    counts = np.array([labels.count(name) for name in ("after", "before")])
    assert counts[0] != counts[1]
    task = TextClassification.open(experiment, tmp_path, training=True)
    weights = np.asarray(task.class_weights)
    np.testing.assert_allclose(weights, 13 / (2 * counts), rtol=1e-6)
    assert Experiment.from_json(experiment.to_json()) == experiment
    task.save(tmp_path)
    restored = TextClassification.open(experiment, tmp_path, training=False)
    assert restored.class_weights is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("balance",), "must be balanced, or NAME=WEIGHT .*, not 'balance'"),
        (("a=2", "b"), "not 'b'"),
        (("balanced", "b=2"), "not 'balanced'"),
        (("a=0",), "with a positive number for each class, not 'a=0'"),
        (("a=-1",), "not 'a=-1'"),
        (("a=inf",), "not 'a=inf'"),
        (("a=nan",), "not 'a=nan'"),
        (("=2",), "not '=2'"),
        (("a=2", "a=3"), "names 'a' twice"),
    ],
)
def test_weights_that_are_none_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        ClassificationConfig(class_weights=given)


def test_a_class_that_is_not_there_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"unknown class of --task\.class-weights 'spaam': did"):
        class_weights(["spaam=2"], LABELS, ("ham", "spam", "c"))
