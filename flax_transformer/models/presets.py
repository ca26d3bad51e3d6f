"""Named model sizes."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flax_transformer.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from flax_transformer.models.table3 import TABLE3

PRESETS: dict[str, EncoderDecoderConfig] = {
    # The size that does best on Multi30k: Wu et al. 2021, "Good for Misconceived Reasons".
    "tiny": EncoderDecoderConfig(
        num_encoder_layers=4,
        num_decoder_layers=4,
        d_model=128,
        d_ff=256,
        num_heads=4,
        residual_dropout_rate=0.3,
    ),
    "small": EncoderDecoderConfig(
        num_encoder_layers=3, num_decoder_layers=3, d_model=256, d_ff=1024, num_heads=8
    ),
    # Every row of the paper's Table 3, base and big among them.
    **{name: row.model for name, row in TABLE3.items()},
}


@functools.cache
def count_parameters(config: EncoderDecoderConfig, vocab_size: int) -> int:
    """Counts a model's parameters from their shapes, without making any.

    Example:
        >>> count_parameters(PRESETS["base"], 37_000)
        63045632
    """
    tokens = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    return count(EncoderDecoder(config, vocab_size), tokens, tokens)


def count(model: nn.Module, *inputs: Any, method: str = "__call__") -> int:
    """Counts the parameters of any model from their shapes, without making any.

    Args:
        model: the module.
        *inputs: arrays or their shapes.
        method: the method that the model is initialised by.

    Example:
        >>> count(nn.Dense(3), jnp.zeros((1, 2)))
        9
    """
    init = functools.partial(model.init, method=method)
    # A key of its own inside: one made here would start the devices.
    shapes = jax.eval_shape(lambda *given: init(jax.random.key(0), *given), *inputs)
    return sum(shape.size for shape in jax.tree.leaves(shapes["params"]))
