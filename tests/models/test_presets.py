import dataclasses
import math
from typing import get_args

import jax
import jax.numpy as jnp
import pytest

from flax_transformer.functional import SCHEMES
from flax_transformer.models import ZOO, EncoderDecoder, EncoderDecoderConfig
from flax_transformer.models.table3 import FITTING_VOCAB_SIZE
from flax_transformer.models.zoo import count_parameters
from flax_transformer.modules.layer_options import NormPlacement

# That of the published counts, so that a model is counted once for this file and for Table 3.
VOCAB = FITTING_VOCAB_SIZE
# Those of the paper's kind; a published count is checked in test_zoo.py.
PAIRS = [
    name
    for name, entry in ZOO.items()
    if type(entry.config) is EncoderDecoderConfig and entry.parameters is None
]


def expected_parameters(config: EncoderDecoderConfig, vocab_size: int) -> int:
    """The number of parameters from the sizes that the paper names."""
    key_dim, value_dim = config.head_dims()
    attention = 2 * config.d_model * config.num_heads * (key_dim + value_dim)
    feed_forward = 2 * config.d_model * config.d_ff + config.d_ff + config.d_model
    norm = 2 * config.d_model * (2 if config.norm_placement == "both" else 1)
    encoder = config.num_encoder_layers * (attention + feed_forward + 2 * norm)
    decoder = config.num_decoder_layers * (2 * attention + feed_forward + 3 * norm)
    final_norms = 2 * 2 * config.d_model * (config.norm_placement != "post")
    scheme = SCHEMES[config.embedded_positions()]
    tables = 2 * config.max_positions * config.d_model * scheme.has_table
    if scheme.head_table_shape is not None:
        head_table = math.prod(scheme.head_table_shape(key_dim))
        num_layers = config.num_encoder_layers + config.num_decoder_layers
        tables += num_layers * config.num_heads * head_table
    return vocab_size * config.d_model + tables + encoder + decoder + final_norms


@pytest.mark.parametrize("name", PAIRS)
def test_a_preset_has_the_parameters_of_its_sizes(name):
    config = ZOO[name].config
    assert count_parameters(config, VOCAB) == expected_parameters(config, VOCAB)


@pytest.mark.parametrize("placement", get_args(NormPlacement))
@pytest.mark.parametrize("positions", SCHEMES)
def test_choices_add_the_parameters_they_need(placement, positions):
    config = dataclasses.replace(
        ZOO["tiny"].config,
        num_encoder_layers=2,
        num_decoder_layers=1,
        norm_placement=placement,
        positions=positions,
        key_dim=5,
        value_dim=7,
    )
    assert count_parameters(config, VOCAB) == expected_parameters(config, VOCAB)


@pytest.mark.parametrize("name", PAIRS)
def test_a_preset_scores_every_token(name):
    config = dataclasses.replace(ZOO[name].config, num_encoder_layers=1, num_decoder_layers=1)
    model = EncoderDecoder(config, VOCAB)
    source, target = (jax.ShapeDtypeStruct((2, length), jnp.int32) for length in (3, 5))
    logits, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), source, target)
    assert (logits.shape, logits.dtype) == ((2, 5, VOCAB), jnp.float32)
