"""The means that replace outputs in an ablation, in comparison with NumPy in float64."""

import numpy as np
import pytest
from reference import assert_close
from small_models import VOCAB, decoder, tokens, translator, vision
from small_tasks import (
    language_modeling_task,
    pair_batch,
    picture_task,
    text_batch,
    translation_task,
)

from flax_transformer.data.batches.batch import LabeledBatch
from flax_transformer.inspection import activations
from flax_transformer.tasks.ablation import mean_outputs

NAMES = ("*.heads", "*.feed_forward_residual.sublayer_output")


class SomeBatches(list):
    """Batches of one epoch."""

    batches_per_epoch = property(len)


def of_pairs():
    """Sides of different lengths, padded; the decoder reads a begin mark first."""
    small = translator(num_encoder_layers=1, num_decoder_layers=1)
    batches = [pair_batch(tokens(), tokens()[::-1]), pair_batch(tokens()[::-1], tokens())]
    return small, translation_task(small.model.config, VOCAB), batches


def of_texts():
    """Texts of different lengths, padded, and a batch that has more tokens."""
    small = decoder(num_layers=1)
    batches = [text_batch(tokens()), text_batch(np.maximum(tokens(), 3))]
    return small, language_modeling_task(small.model.config, VOCAB), batches


def of_images():
    """Without padding: every patch counts."""
    small = vision(num_layers=1)
    drawn = np.random.default_rng(1).integers(0, 256, (2, 2, 4, 6, 1), np.uint8)
    batches = [LabeledBatch(images, np.zeros(2, np.int32)) for images in drawn]
    return small, picture_task(small.model.config, ("cat", "dog", "owl")), batches


# Which positions of a batch hold tokens, on the side that an activation belongs to.
SIDES = {
    of_pairs: lambda batch, name: (
        batch.target_segments if name.startswith("decoder.") else batch.source_segments
    ),
    of_texts: lambda batch, name: batch.segments[:, :-1],
    of_images: lambda batch, name: np.ones((len(batch.inputs), 5)),  # a class token, four patches
}


@pytest.mark.parametrize("make", SIDES)
def test_a_mean_is_that_of_all_tokens_of_a_split(make, monkeypatch):
    small, task, batches = make()
    variables = small.draw()
    monkeypatch.setattr(task, "batches", lambda split: SomeBatches(batches))
    found = mean_outputs(task, variables, "validation")
    totals, counts = {}, {}
    for batch in batches:
        given = task.given(batch)
        observed = activations(task.model, variables, given, NAMES, method=task.method)
        for name, value in observed.items():
            is_token = np.asarray(SIDES[make](batch, name)) != 0
            totals[name] = totals.get(name, 0) + np.asarray(value, np.float64)[is_token].sum(axis=0)
            counts[name] = counts.get(name, 0) + is_token.sum()
    assert found.keys() == totals.keys()
    for name, mean in found.items():
        assert_close(mean, totals[name] / counts[name], 1e-5)
