import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from parameters import draw_parameters
from reference import assert_close

from flax_transformer.models import (
    EncoderDecoder,
    EncoderDecoderConfig,
    attention_weights,
    stack_layers,
)
from flax_transformer.visualization import view_attention

VOCAB, HEADS, ENCODER_LAYERS, DECODER_LAYERS = 19, 2, 2, 3
CONFIG = EncoderDecoderConfig(
    num_encoder_layers=ENCODER_LAYERS,
    num_decoder_layers=DECODER_LAYERS,
    d_model=10,
    d_ff=13,
    num_heads=HEADS,
)
SOURCE = jnp.array([[3, 4, 5, 6, 7], [8, 9, 10, 0, 0]])
TARGET = jnp.array([[1, 11, 12, 13, 14, 15, 16], [1, 17, 18, 0, 0, 0, 0]])
EXPECTED = {
    "encoder": (ENCODER_LAYERS, 2, HEADS, 5, 5),
    "decoder": (DECODER_LAYERS, 2, HEADS, 7, 7),
    "cross": (DECODER_LAYERS, 2, HEADS, 7, 5),
}


@pytest.fixture(scope="module")
def variables():
    return draw_parameters(EncoderDecoder(CONFIG, VOCAB), SOURCE, TARGET)


@pytest.fixture(scope="module")
def weights(variables):
    return attention_weights(EncoderDecoder(CONFIG, VOCAB), variables, SOURCE, TARGET)


def test_every_layer_has_its_weights(weights):
    assert {part: array.shape for part, array in weights.items()} == EXPECTED
    for array in weights.values():
        # The first example has no padding, whose rows would be empty.
        sums = array[:, 0].sum(axis=-1)
        assert_close(sums, np.ones(sums.shape), 1e-5)
        layers = [np.asarray(layer) for layer in array]
        assert not np.allclose(layers[0], layers[1])


def test_nothing_attends_to_padding_or_to_later_targets(weights):
    padding = np.asarray(SOURCE[1] == 0)
    assert not weights["encoder"][:, 1][..., :3, padding].any()
    assert not weights["cross"][:, 1][..., padding].any()
    assert not np.triu(weights["decoder"][:, 0], 1).any()


def test_scanned_layers_give_the_same(variables, weights):
    scanned = EncoderDecoder(dataclasses.replace(CONFIG, scan_layers=True), VOCAB)
    for part, array in attention_weights(scanned, stack_layers(variables), SOURCE, TARGET).items():
        assert_close(array, weights[part], 1e-5)


def test_one_example_of_them_is_what_the_viewer_takes(weights):
    one = {part: array[:, 0] for part, array in weights.items()}
    page = view_attention(one, list("abcde"), list("1234567")).page
    assert '"rollout": true' in page
