"""Every task with targets that are not a token or not a class."""

import functools
from typing import Any

import jax
import numpy as np
import pytest
from small_tasks import (
    labeled_texts,
    language_modeling_task,
    masked_task,
    pair_batch,
    picture_task,
    text_batch,
    translation_task,
)
from untrained import PIXELS, SIZES

from flax_transformer.data.augmentation_config import AugmentationConfig
from flax_transformer.data.batches.batch import NO_CLASS, LabeledBatch
from flax_transformer.models import (
    DecoderOnlyConfig,
    EncoderDecoderConfig,
    EncoderOnlyConfig,
    VisionConfig,
)
from flax_transformer.tasks.classification.augmentation import make_augment
from flax_transformer.tasks.classification.pixel_classification import ImageClassification

pytestmark = pytest.mark.usefixtures("quickly_compiled")
VOCAB, CLASSES = 13, 3
TOKENS = np.array([[1, 5, 6, 7, 8, 9, 2], [1, 9, 10, 2, 0, 0, 0]], np.int32)


def translation() -> tuple[Any, Any]:
    config = EncoderDecoderConfig(
        d_model=12, d_ff=5, num_heads=3, num_encoder_layers=1, num_decoder_layers=1
    )
    task = translation_task(config, VOCAB)
    # The model never reads the last target: only the loss uses it.
    return task, lambda wrong: pair_batch(TOKENS, with_last(TOKENS[:, 1:], wrong))


def language_model() -> tuple[Any, Any]:
    task = language_modeling_task(DecoderOnlyConfig(max_positions=7, **SIZES), VOCAB)
    return task, lambda wrong: text_batch(with_last(TOKENS, wrong))


def masked_language_model() -> tuple[Any, Any]:
    task = masked_task(EncoderOnlyConfig(max_positions=7, **SIZES), VOCAB, mask_rate=0.9)
    return task, lambda wrong: labeled_texts(with_last(TOKENS, wrong))


def with_last(tokens: np.ndarray, wrong: int | None) -> np.ndarray:
    tokens = tokens.copy()
    if wrong is not None:
        tokens[0, -1] = wrong
    return tokens


def of_new_parameters(task):
    """The loss of a batch, its weight, and which gradients are finite."""
    params = task.init(jax.random.key(0))["params"]

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def loss(params, batch):
        total, weight, *_ = task.loss({"params": params}, batch, jax.random.key(1))
        return total, weight

    def loss_and_gradient(batch):
        (total, weight), gradient = loss(params, batch)
        finite = [bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves(gradient)]
        return float(total), float(weight), finite

    return loss_and_gradient


@functools.cache
def of_tokens(make):
    """A task's loss and its batches; compiled once for all its tests."""
    task, batch_of = make()
    return of_new_parameters(task), batch_of


@pytest.mark.parametrize("make", [translation, language_model, masked_language_model])
@pytest.mark.parametrize("wrong", [-100, -1, VOCAB, 1000])
def test_a_target_that_is_no_token_is_never_taken_for_another(make, wrong):
    loss_and_gradient, batch_of = of_tokens(make)
    total, weight, finite = loss_and_gradient(batch_of(None))
    assert np.isfinite(total)
    assert weight > 0
    assert all(finite)
    total, _, finite = loss_and_gradient(batch_of(wrong))
    assert np.isnan(total)
    assert not any(finite)


def classification(mixup: float = 0.0) -> ImageClassification:
    task = picture_task(VisionConfig(**SIZES, **PIXELS), ("a", "b", "c"))
    task.augment = make_augment(AugmentationConfig(mixup=mixup))
    return task


@functools.cache
def of_images(mixup: float):
    return of_new_parameters(classification(mixup))


def images_of(*labels: int) -> LabeledBatch:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (len(labels), 4, 6, 1), np.uint8)
    return LabeledBatch(images, np.array(labels, np.int32))


@pytest.mark.parametrize("mixup", [0.0, 0.4])
@pytest.mark.parametrize("wrong", [-5, -100, CLASSES, 1000])
def test_a_label_that_is_no_class_is_never_taken_for_another(mixup, wrong):
    loss_and_gradient = of_images(mixup)
    total, weight, finite = loss_and_gradient(images_of(2, 0, NO_CLASS, NO_CLASS))
    assert np.isfinite(total)
    assert weight == pytest.approx(2)
    assert all(finite)
    total, _, finite = loss_and_gradient(images_of(2, 0, wrong, NO_CLASS))
    assert np.isnan(total)
    assert not all(finite)


@pytest.mark.parametrize("wrong", [-5, CLASSES])
def test_the_likelihood_of_a_label_that_is_no_class_is_nan(wrong):
    task = classification()
    batch = images_of(2, wrong, NO_CLASS)
    probabilities, nll = task.predict(task.init(jax.random.key(0)), batch)
    assert np.isfinite(probabilities).all()
    assert nll[0] == pytest.approx(-np.log(probabilities[0, 2]), rel=1e-5)
    assert np.isnan(nll[1])
    assert nll[2] == 0
