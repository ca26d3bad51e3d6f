"""One training step, three ways: under jit, under pmap, and under jit on a mesh."""

import functools
from typing import Any

import jax
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from reference import assert_close
from small_tasks import (
    labeled_texts,
    language_modeling_task,
    masked_task,
    pair_batch,
    text_batch,
    translation_task,
)

from flax_transformer.data.augmentation_config import AugmentationConfig
from flax_transformer.data.batches.batch import LabeledBatch
from flax_transformer.data.pixels_config import ImagesConfig
from flax_transformer.experiment import Experiment
from flax_transformer.models import (
    DecoderOnlyConfig,
    EncoderDecoderConfig,
    EncoderOnlyConfig,
    VisionConfig,
)
from flax_transformer.tasks.classification.classification_config import ClassificationConfig
from flax_transformer.tasks.classification.pixel_classification import ImageClassification
from flax_transformer.training.parallel import choose_devices
from flax_transformer.training.step import init_state, make_train_step

pytestmark = pytest.mark.usefixtures("quickly_compiled")
VOCAB, ROWS, LENGTH, NUM_STEPS = 16, 16, 5, 5
LAYER: dict[str, Any] = {
    "d_model": 16,
    "d_ff": 24,
    "num_heads": 4,
    "residual_dropout_rate": 0.2,
    "attention_dropout_rate": 0.2,
    "feed_forward_dropout_rate": 0.2,
}
TEXT: dict[str, Any] = LAYER | {"num_layers": 1, "max_positions": 8}
SGD = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.3, momentum=0.9))
WAYS = {
    "pmap": (None, 8),
    "fsdp": ("fsdp=8", 8),
    "all": ("data=2,fsdp=2,tensor=2", 8),
}


def tokens(seed: int, num_filled: int = ROWS - 3) -> np.ndarray:
    """Texts of random lengths; the last rows only fill the batch."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(4, VOCAB, (ROWS, LENGTH), np.int32)
    lengths = rng.integers(1, LENGTH + 1, ROWS) * (np.arange(ROWS) < num_filled)
    return np.where(np.arange(LENGTH) < lengths[:, None], drawn, 0)


def images(seed: int) -> LabeledBatch:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (ROWS, 4, 6, 1), np.uint8)
    return LabeledBatch(pixels, rng.integers(-1, 3, ROWS, np.int32), np.ones(ROWS, np.int32))


def image_task():
    """With all that is drawn for an image, and a mixture of each with its neighbor."""
    config = VisionConfig(
        **LAYER, num_layers=1, image_size=(4, 6), patch_size=(2, 3), num_channels=1
    )
    augmentation = AugmentationConfig(shift=1, flip=True, rotation=20.0, mixup=0.4)
    data = ImagesConfig(augmentation=augmentation)
    experiment = Experiment(data, config, ClassificationConfig())
    return ImageClassification(experiment, ("a", "b", "c"), None, None)


@functools.cache
def make(name: str) -> tuple[Any, Any]:
    """A task, and the batch of a seed."""
    layers: dict[str, Any] = {"num_encoder_layers": 1, "num_decoder_layers": 1}
    pairs = EncoderDecoderConfig(**LAYER, **layers, scan_layers=True, norm="batch")
    experts = DecoderOnlyConfig(**TEXT, feed_forward="experts", num_experts=2, activation="swiglu")
    made: dict[str, Any] = {
        "pairs": lambda: translation_task(pairs, VOCAB),
        "texts": lambda: language_modeling_task(DecoderOnlyConfig(**TEXT), VOCAB),
        "experts": lambda: language_modeling_task(experts, VOCAB),
        "gaps": lambda: masked_task(EncoderOnlyConfig(**TEXT), VOCAB, 0.3),
        "images": image_task,
    }
    batches: dict[str, Any] = {
        "texts": lambda seed: text_batch(tokens(seed)),
        "experts": lambda seed: text_batch(tokens(seed)),
        "gaps": lambda seed: labeled_texts(tokens(seed)),
        "images": images,
    }
    both = lambda seed: pair_batch(tokens(seed), tokens(seed + 100))  # noqa: E731
    return made[name](), batches.get(name, both)


def mixes_rows(name: str) -> bool:
    task, _ = make(name)
    return task.mixes_rows() or task.experiment.model.mixes_rows()


@functools.cache
def train(name: str, mesh: str | None = None, num_devices: int = 1, accumulate_steps: int = 1):
    """The losses of a few steps, and the parameters after them."""
    task, batch_of = make(name)
    devices = choose_devices(mesh, mixes_rows(name), jax.devices()[:num_devices])
    step = make_train_step(
        task.loss,
        SGD,
        max_skipped=1,
        accumulate_steps=accumulate_steps,
        axis_name=devices.axis_name,
    )
    update = devices.compile(step)
    state = devices.place(jax.device_get(init_state(task.init(jax.random.key(0)), SGD)))
    losses = []
    for seed in range(NUM_STEPS):
        state, metrics = update(state, devices.share(batch_of(seed)), jax.random.key(7))
        losses.append(float(devices.whole(metrics).loss))
    return losses, jax.device_get(devices.whole(state).params)


def assert_the_same(found, expected):
    assert_close(found[0], expected[0], 1e-5)
    assert len(set(expected[0])) == NUM_STEPS
    # As one vector: biases of keys have no gradient but rounding errors.
    actual, wanted = (ravel_pytree(params)[0] for params in (found[1], expected[1]))
    assert_close(actual, wanted, 1e-5)


@pytest.mark.parametrize(("mesh", "num_devices"), WAYS.values(), ids=WAYS)
def test_every_way_gives_the_result_of_one_device(mesh, num_devices):
    assert_the_same(train("texts", mesh, num_devices, accumulate_steps=2), train("texts"))


@pytest.mark.parametrize("name", ["pairs", "experts", "gaps", "images"])
def test_every_task_gives_the_result_of_one_device(name):
    mesh, num_devices = WAYS["all"]
    assert_the_same(train(name, mesh, num_devices), train(name))


def test_experts_on_their_own_devices_give_the_result_of_one_device():
    assert_the_same(train("experts", "data=4,expert=2", 8), train("experts"))


def test_dropout_makes_a_difference():
    """Otherwise the tests above would say little about it."""
    task, batch_of = make("texts")
    variables = task.init(jax.random.key(0))
    losses = [float(task.loss(variables, batch_of(0), jax.random.key(k)).sum) for k in (0, 1)]
    assert abs(losses[0] - losses[1]) > 1e-3 * abs(losses[0])
