"""Models with weights of 8 bits: they compute what the rounded weights say."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from small_models import MODELS, decoder

from flax_transformer.functional import EightBitArray
from flax_transformer.models.stacking import stack_layers
from flax_transformer.training.quantized_weights import quantize_weights

NAMES = ["translator options", "decoder swiglu", "decoder scanned", "encoder tokens", "vision grid"]
EXPERTS = decoder(feed_forward="experts", num_experts=3)


def widened(variables: Any) -> Any:
    """The variables with arrays of float32 that hold the rounded numbers."""
    return jax.tree.map(jnp.asarray, variables, is_leaf=lambda x: isinstance(x, EightBitArray))


def rounded_paths(flat: Any) -> set[str]:
    return {path for path, array in flat.items() if isinstance(array, EightBitArray)}


@pytest.mark.platforms
@pytest.mark.parametrize("name", ["encoder tokens", "decoder scanned"])
def test_a_model_computes_with_the_rounded_weights(name):
    small = MODELS[name]
    rounded, apply = quantize_weights(small.draw()), jax.jit(small.apply)
    expected = apply(widened(rounded))
    difference = np.abs(apply(rounded) - expected).max() / np.abs(expected).max()
    assert 0 < difference < 1e-3


@pytest.mark.parametrize("name", [*NAMES, "encoder convolution"])
def test_kernels_of_layers_and_tables_of_tokens_are_rounded(name):
    flat = flatten_dict(quantize_weights(MODELS[name].draw())["params"], sep="/")
    kernels = {path for path in flat if re.search("attention/.*kernel|feed_forward/.*kernel", path)}
    tables = {path for path in flat if re.fullmatch("embedding/(logits_)?table", path)}
    assert kernels
    assert rounded_paths(flat) == kernels | tables


def test_kernels_of_experts_are_not_rounded():
    rounded = rounded_paths(flatten_dict(quantize_weights(EXPERTS.draw())["params"], sep="/"))
    assert {path.split("/")[1] for path in rounded} == {"table", "self_attention"}


def test_stacked_layers_have_scales_of_their_own():
    variables = MODELS["decoder swiglu"].draw()
    stacked = quantize_weights(stack_layers(variables))
    jax.tree.map(np.testing.assert_array_equal, stacked, stack_layers(quantize_weights(variables)))
