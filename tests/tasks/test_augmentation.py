import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pixels import smoothed_cross_entropy, warp_by_loops
from small_tasks import picture_task

from flax_transformer.data.augmentation_config import AugmentationConfig
from flax_transformer.data.batches.batch import LabeledBatch
from flax_transformer.errors import UserError
from flax_transformer.models import VisionConfig
from flax_transformer.tasks.classification.augmentation import (
    Target,
    deform,
    flip,
    make_augment,
    mixup,
    shift,
)
from flax_transformer.tasks.classification.pixel_classification import ImageClassification

pytestmark = pytest.mark.platforms

CHANGES = {
    "shift": 2,
    "flip": True,
    "rotation": 20.0,
    "scale": 0.2,
    "slant": 20.0,
    "rand_augment_layers": 2,
    "mixup": 0.5,
}
EVERYTHING = AugmentationConfig(**CHANGES)


@pytest.fixture
def image() -> jnp.ndarray:
    return jnp.asarray(np.random.default_rng(0).random((5, 7, 3)), jnp.float32)


def keys(number: int):
    return jax.random.split(jax.random.key(3), number)


def target(labels) -> Target:
    return Target(jnp.maximum(jnp.array(labels), 0), (jnp.array(labels) >= 0).astype(jnp.float32))


def test_a_shift_is_each_way_with_equal_chances_and_black_follows(image):
    shifted = jax.vmap(lambda key: shift(key, image, 1))(keys(900))
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
    for row, column in np.ndindex(3, 3):
        window = padded[row : row + 5, column : column + 7]
        assert 60 < np.all(shifted == window, axis=(1, 2, 3)).sum() < 140


def test_half_of_the_images_are_flipped(image):
    flipped = jax.vmap(lambda key: flip(key, image))(keys(400))
    is_flipped = np.all(flipped == np.asarray(image)[:, ::-1], axis=(1, 2, 3))
    is_same = np.all(flipped == np.asarray(image), axis=(1, 2, 3))
    assert np.all(is_flipped ^ is_same)
    assert 150 < is_flipped.sum() < 250


@pytest.mark.parametrize("field", ["rotation", "scale", "slant"])
def test_a_deformation_stays_within_its_limit(image, field):
    given: Any = {field: 0.5 if field == "scale" else 30.0}
    config = AugmentationConfig(**given)
    limit = 0.5 if field == "scale" else np.pi / 6

    def formula(amount):
        matrix = {
            "rotation": [[np.cos(amount), np.sin(amount)], [-np.sin(amount), np.cos(amount)]],
            "scale": np.eye(2) / (1 + amount),
            "slant": [[1, 0], [np.tan(amount), 1]],
        }
        return warp_by_loops(image, matrix[field], (0, 0))

    amounts = np.linspace(-limit, limit, 201)
    known = np.stack([formula(amount) for amount in amounts])
    found = []
    for key in keys(50):
        distances = np.abs(known - np.asarray(deform(key, image, config))).max(axis=(1, 2, 3))
        assert distances.min() < 0.03  # half of the way between two of them
        found.append(amounts[distances.argmin()])
    assert min(found) < -0.7 * limit
    assert max(found) > 0.7 * limit


def test_mixup_is_the_cross_entropy_of_mixed_targets():
    rng = np.random.default_rng(0)
    labels = [2, 0, -1, 1, 2, 0, 1]
    inputs = rng.random((7, 2, 3, 1)).astype(np.float32)
    mixed, parts = mixup(jax.random.key(0), jnp.asarray(inputs), (target(labels),), 0.7)
    share = np.asarray(parts[0].weights, np.float64)
    # The third row fills the batch: neither it nor its neighbor has a partner.
    np.testing.assert_array_equal(share[[2, 3]], [0, 1])
    assert len(np.unique(share)) == 7
    share[2] = 1
    share = share[:, None, None, None]
    expected = share * inputs + (1 - share) * inputs[[-1, 0, 1, 2, 3, 4, 5]]
    np.testing.assert_allclose(mixed, expected, rtol=1e-6)

    logits = rng.normal(size=(7, 3)).astype(np.float32)
    task = task_of(lambda *_: (mixed, parts), label_smoothing=0.1)
    model: Any = Constant(jnp.asarray(logits))
    task.model = model
    loss, weight, *_ = task.loss({"params": {}}, batch_of(inputs, labels), jax.random.key(0))
    share = share[:, 0, 0]
    soft = share * np.eye(3)[labels] + (1 - share) * np.eye(3)[np.roll(labels, 1)]
    losses = smoothed_cross_entropy(logits, soft, 0.1)
    np.testing.assert_allclose(loss, losses[[0, 1, 3, 4, 5, 6]].sum(), rtol=1e-5)
    assert weight == pytest.approx(6)


def test_shares_are_drawn_from_their_distribution():
    inputs, targets = jnp.zeros((5000, 1)), (target([0] * 5000),)
    _, parts = mixup(jax.random.key(0), inputs, targets, 0.5)
    share = np.asarray(parts[0].weights)
    assert share.mean() == pytest.approx(0.5, abs=0.03)
    assert share.var() == pytest.approx(1 / (4 * (2 * 0.5 + 1)), abs=0.01)


class Constant:
    """A model whose logits are known."""

    def __init__(self, logits):
        self.logits = logits

    def apply(self, *_, **__):
        return self.logits, {}


def batch_of(inputs, labels) -> LabeledBatch:
    return LabeledBatch(np.asarray(inputs), np.array(labels, np.int32))


def task_of(augment, label_smoothing: float = 0.0) -> ImageClassification:
    sizes = VisionConfig(
        num_layers=1, d_model=8, d_ff=16, num_heads=2, image_size=(5, 7), patch_size=(5, 7)
    )
    task = picture_task(sizes, ("a", "b", "c"), label_smoothing)
    task.augment = augment
    return task


@pytest.fixture
def batch() -> LabeledBatch:
    pixels = np.random.default_rng(1).integers(0, 256, (4, 5, 7, 3), np.uint8)
    return batch_of(pixels, [0, 1, 2, 0])


def test_nothing_is_changed_unless_asked_for():
    assert make_augment(AugmentationConfig()) is None


@pytest.mark.parametrize("field", CHANGES)
def test_every_field_changes_a_batch(batch, field):
    augment = make_augment(AugmentationConfig(**{field: CHANGES[field]}))
    assert augment is not None
    inputs, targets = augment(jax.random.key(0), jnp.asarray(batch.inputs), (target([0, 1, 2, 0]),))
    assert inputs.shape == batch.inputs.shape
    assert np.abs(inputs - batch.inputs.astype(np.float32)).max() > 10
    assert inputs.min() >= 0
    assert 200 < inputs.max() < 255.01
    np.testing.assert_allclose(sum(part.weights for part in targets), 1)


def test_a_step_changes_a_batch_by_its_key_alone(batch):
    task = task_of(make_augment(EVERYTHING))
    params = task.init(jax.random.key(0))["params"]
    loss = jax.jit(lambda key: task.loss({"params": params}, batch, key)[0])
    first, again, other = (float(loss(jax.random.key(seed))) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_a_prediction_changes_nothing(batch):
    plain, augmented = task_of(None), task_of(make_augment(EVERYTHING))
    variables = plain.init(jax.random.key(0))
    expected, found = (x.predict(variables, batch) for x in (plain, augmented))
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


def test_all_frames_of_a_video_are_changed_alike(batch):
    augment = make_augment(dataclasses.replace(EVERYTHING, mixup=0.0))
    assert augment is not None
    videos = np.repeat(batch.inputs[:, None], 3, axis=1)
    targets = (target([0, 1, 2, 0]),)
    changed, _ = augment(jax.random.key(0), jnp.asarray(videos), targets)
    images, _ = augment(jax.random.key(0), jnp.asarray(batch.inputs), targets)
    np.testing.assert_allclose(changed, np.repeat(images[:, None], 3, axis=1), atol=1e-3)


def test_images_are_changed_each_in_its_own_way(batch):
    augment = make_augment(AugmentationConfig(rotation=30.0))
    assert augment is not None
    same = np.repeat(batch.inputs[:1], 4, axis=0)
    changed, _ = augment(jax.random.key(0), jnp.asarray(same), (target([0, 0, 0, 0]),))
    assert len(np.unique(np.asarray(changed).reshape(4, -1), axis=0)) == 4


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("shift", -1, "--data.augmentation.shift must be at least 0, not -1"),
        ("scale", 1.5, "--data.augmentation.scale must be between 0 and 0.9, not 1.5"),
        ("rotation", float("nan"), "rotation must be between 0 and 180, not nan"),
        ("mixup", -0.5, "mixup must be between 0 and 100, not -0.5"),
    ],
)
def test_impossible_values_are_refused(field, value, message):
    with pytest.raises(UserError, match=message):
        AugmentationConfig(**{field: value})
