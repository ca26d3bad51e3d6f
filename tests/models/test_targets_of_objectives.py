"""Every objective with targets that are not a token or not a class."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax_transformer.tasks.classification.classification import (
    Classification,
    ClassificationConfig,
    Reading,
)
from flax_transformer.tasks.classification.sources import scale_pixels
from flax_transformer.tasks.language_modeling.language_modeling import (
    LanguageModeling,
    LanguageModelingConfig,
)
from flax_transformer.tasks.translation.translation import Translation, TranslationConfig
from untrained import PIXELS, SIZES

from flax_transformer.data.augmentation_config import AugmentationConfig
from flax_transformer.data.batches.batch import NO_CLASS, Batch, LabelledBatch, TextBatch
from flax_transformer.models import (
    DecoderOnly,
    DecoderOnlyConfig,
    EncoderDecoder,
    EncoderDecoderConfig,
    EncoderOnly,
    EncoderOnlyConfig,
    VisionConfig,
    VisionTransformer,
)
from flax_transformer.tasks.classification.augmentation import make_augment
from flax_transformer.tasks.masked_language_modeling.masked_language_modeling_config import (
    MaskedLanguageModeling,
    MaskedLanguageModelingConfig,
)

VOCAB, CLASSES = 13, 3
TOKENS = np.array([[1, 5, 6, 7, 8, 9, 2], [1, 9, 10, 2, 0, 0, 0]], np.int32)


def translation() -> tuple[Any, Any]:
    config = EncoderDecoderConfig(
        d_model=12, d_ff=5, num_heads=3, num_encoder_layers=1, num_decoder_layers=1
    )
    objective = Translation(TranslationConfig(), EncoderDecoder(config, VOCAB))
    # The model never reads the last target: only the loss uses it.
    return objective, lambda wrong: Batch(TOKENS, with_last(TOKENS[:, 1:], wrong))


def language_model() -> tuple[Any, Any]:
    model = DecoderOnly(DecoderOnlyConfig(max_positions=7, **SIZES), VOCAB)
    objective = LanguageModeling(LanguageModelingConfig(), model)
    return objective, lambda wrong: TextBatch(with_last(TOKENS, wrong))


def masked_language_model() -> tuple[Any, Any]:
    model = EncoderOnly(EncoderOnlyConfig(max_positions=7, **SIZES), VOCAB)
    objective = MaskedLanguageModeling(MaskedLanguageModelingConfig(0.9), model)
    no_classes = np.zeros(2, np.int32)
    return objective, lambda wrong: LabelledBatch(with_last(TOKENS, wrong), no_classes)


def with_last(tokens: np.ndarray, wrong: int | None) -> np.ndarray:
    tokens = tokens.copy()
    if wrong is not None:
        tokens[0, -1] = wrong
    return tokens


def loss_and_gradient(objective, variables, batch):
    def of_params(params):
        total, weight, _ = objective.loss(params, {}, batch, jax.random.key(1))
        return total, weight

    (total, weight), gradient = jax.value_and_grad(of_params, has_aux=True)(variables["params"])
    finite = [bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves(gradient)]
    return float(total), float(weight), finite


@pytest.mark.parametrize("make", [translation, language_model, masked_language_model])
@pytest.mark.parametrize("wrong", [-100, -1, VOCAB, 1000])
def test_a_target_that_is_no_token_is_never_taken_for_another(make, wrong):
    objective, batch_of = make()
    variables = objective.init(jax.random.key(0))
    total, weight, finite = loss_and_gradient(objective, variables, batch_of(None))
    assert np.isfinite(total)
    assert weight > 0
    assert all(finite)
    total, _, finite = loss_and_gradient(objective, variables, batch_of(wrong))
    assert np.isnan(total)
    assert not any(finite)


def classification(mixup: float = 0.0) -> Classification:
    model = VisionTransformer(VisionConfig(**SIZES, **PIXELS), CLASSES)
    augment = make_augment(AugmentationConfig(mixup=mixup))
    reading = Reading("__call__", scale_pixels, jnp.zeros((1, 4, 6, 1), jnp.uint8), augment)
    return Classification(ClassificationConfig(), model, reading)


def images_of(*labels: int) -> LabelledBatch:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (len(labels), 4, 6, 1), np.uint8)
    return LabelledBatch(images, np.array(labels, np.int32))


@pytest.mark.parametrize("mixup", [0.0, 0.4])
@pytest.mark.parametrize("wrong", [-5, -100, CLASSES, 1000])
def test_a_label_that_is_no_class_is_never_taken_for_another(mixup, wrong):
    objective = classification(mixup)
    variables = objective.init(jax.random.key(0))
    total, weight, finite = loss_and_gradient(
        objective, variables, images_of(2, 0, NO_CLASS, NO_CLASS)
    )
    assert np.isfinite(total)
    assert weight == pytest.approx(2)
    assert all(finite)
    total, _, finite = loss_and_gradient(objective, variables, images_of(2, 0, wrong, NO_CLASS))
    assert np.isnan(total)
    assert not all(finite)


@pytest.mark.parametrize("wrong", [-5, CLASSES])
def test_the_likelihood_of_a_label_that_is_no_class_is_nan(wrong):
    objective = classification()
    batch = images_of(2, wrong, NO_CLASS)
    predicted = objective.predict(objective.init(jax.random.key(0)), batch)
    assert np.isfinite(predicted.probabilities).all()
    assert predicted.nll[0] == pytest.approx(-np.log(predicted.probabilities[0, 2]), rel=1e-5)
    assert np.isnan(predicted.nll[1])
    assert predicted.nll[2] == 0
