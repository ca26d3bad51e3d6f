import jax
import jax.numpy as jnp
import pytest
from parameters import draw_parameters

from flax_transformer.models import (
    EncoderDecoder,
    EncoderDecoderConfig,
    stack_layers,
    unstack_layers,
)

LAYER = {"kernel": jnp.zeros((3, 5)), "bias": jnp.zeros(5)}


def test_unstacking_is_the_inverse_of_stacking():
    """Of eleven layers, whose names do not sort as their numbers do."""
    config = EncoderDecoderConfig(
        num_encoder_layers=11, num_decoder_layers=2, d_model=6, d_ff=5, num_heads=2, norm="batch"
    )
    tokens = jnp.ones((1, 1), int)
    variables = draw_parameters(EncoderDecoder(config, 7), tokens, tokens)
    stacked = stack_layers(variables)
    assert {"encoder", "decoder"} < set(stacked["params"])
    assert set(stacked["batch_stats"]) == {"encoder", "decoder"}
    unstacked = unstack_layers(stacked)
    assert jax.tree.structure(unstacked) == jax.tree.structure(variables)
    assert jax.tree.all(jax.tree.map(lambda x, y: (x == y).all(), unstacked, variables))
    again = stack_layers(unstacked)
    assert jax.tree.structure(again) == jax.tree.structure(stacked)
    assert jax.tree.all(jax.tree.map(lambda x, y: (x == y).all(), again, stacked))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({}, r"no layers encoder_0 or decoder_0 to stack in \[\]"),
        ({"encoder": LAYER, "encoder_norm": {}}, "to stack in .*params/encoder', .*encoder_norm"),
        ({"decoder_0": LAYER, "decoder_2": LAYER}, "decoder_1 is missing next to decoder_0, d"),
        ({"decoder_1": LAYER}, "params: decoder_0 is missing next to decoder_1"),
        (
            {"encoder_0": LAYER, "encoder_1": LAYER | {"bias": jnp.zeros(7)}},
            r"params: bias is float32\[5\] in encoder_0, but float32\[7\] in encoder_1",
        ),
        (
            {"encoder_0": LAYER, "encoder_1": LAYER | {"bias": jnp.zeros(5, "bfloat16")}},
            r"bias is float32\[5\] in encoder_0, but bfloat16\[5\] in encoder_1",
        ),
        (
            {"encoder_0": LAYER, "encoder_1": {"kernel": LAYER["kernel"]}},
            r"bias is float32\[5\] in encoder_0, but missing in encoder_1",
        ),
    ],
)
def test_what_cannot_be_stacked_is_named_in_one_line(layers, message):
    with pytest.raises(ValueError, match=message) as error:
        stack_layers({"params": layers})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({}, r"no encoder or decoder to unstack in \[\]"),
        ({"encoder_0": LAYER}, "to unstack in .*params/encoder_0"),
        ({"encoder": LAYER}, r"params: encoder has no one number of layers: \[\(3,\), \(5,\)\]"),
        ({"decoder": {"bias": jnp.zeros(())}}, r"decoder has no one number of layers: \[\(\)\]"),
        ({"decoder": {}}, r"decoder has no one number of layers: \[\]"),
    ],
)
def test_what_cannot_be_unstacked_is_named_in_one_line(layers, message):
    with pytest.raises(ValueError, match=message) as error:
        unstack_layers({"params": layers})
    assert "\n" not in str(error.value)
