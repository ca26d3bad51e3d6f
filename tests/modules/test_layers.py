import dataclasses
from typing import Any

import flax.errors
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parameters import draw_parameters
from reference import assert_close, layer_norm

from flax_transformer.functional import Layout
from flax_transformer.modules import DecoderLayer, Dropout, EncoderLayer, LayerOptions, Residual

BATCH, LENGTH, SOURCE_LENGTH, D_MODEL = 2, 5, 7, 11
OPTIONS = LayerOptions(
    num_heads=3, d_model=D_MODEL, d_ff=13, key_dim=17, value_dim=19, residual_dropout_rate=0.0
)
RATES = ("residual_dropout_rate", "attention_dropout_rate", "feed_forward_dropout_rate")


@pytest.fixture
def inputs(normal):
    return normal(BATCH, LENGTH, D_MODEL)


@pytest.fixture
def memory(normal):
    return normal(BATCH, SOURCE_LENGTH, D_MODEL)


def encode(layer, inputs, _, **options):
    return layer(inputs, Layout(), **options)


def decode(layer, inputs, memory, **options):
    return layer(inputs, Layout(), layer.memory_keys_values(memory), None, **options)[0]


def test_dropout_drops_in_training_only():
    module, inputs = Dropout(0.5), jnp.ones((97, 101))
    np.testing.assert_array_equal(module.apply({}, inputs, True), inputs)
    dropped: Any = module.apply({}, inputs, False, rngs={"dropout": jax.random.key(0)})
    assert set(np.unique(dropped)) == {0, 2}


@pytest.mark.parametrize(
    ("placement", "formula"),
    [
        ("post", lambda f, x: layer_norm(x + f(x))),
        ("pre", lambda f, x: x + f(layer_norm(x))),
        ("both", lambda f, x: x + layer_norm(f(layer_norm(x)))),
    ],
)
def test_the_norm_is_where_the_formula_has_it(inputs, placement, formula):
    def sublayer(x):
        return 3 * x**2 + 1

    module = Residual(OPTIONS.of_layer(norm_placement=placement, residual_dropout_rate=0.5))
    output, _ = module.init_with_output(jax.random.key(0), sublayer, inputs, method=connect)
    assert_close(output, formula(sublayer, np.asarray(inputs, np.float64)), 1e-5)


@pytest.mark.parametrize(("layer", "method"), [(EncoderLayer, encode), (DecoderLayer, decode)])
def test_self_attention_may_read_what_is_normalized_already(inputs, memory, layer, method):
    options = dataclasses.replace(OPTIONS, norm_placement="pre", norm_bias=False)
    module = layer(dataclasses.replace(options, attention_norm=False))
    scaled = 3 * inputs
    output, variables = module.init_with_output(jax.random.key(0), scaled, memory, method=method)
    name = "attention_residual" if layer is EncoderLayer else "self_attention_residual"
    assert name not in variables["params"]
    # With a norm that changes nothing, it is the same.
    mean_square = jnp.mean(jnp.square(scaled - scaled.mean(-1, keepdims=True)), -1, keepdims=True)
    normalized = (scaled - scaled.mean(-1, keepdims=True)) / jnp.sqrt(mean_square)
    params = variables["params"] | {name: {"normalize": {"scale": jnp.ones(D_MODEL)}}}
    expected = layer(options).apply({"params": params}, normalized, memory, method=method)
    assert_close(module.apply(variables, normalized, memory, method=method), expected, 1e-5)
    other = layer(options).apply({"params": params}, scaled, memory, method=method)
    assert jnp.abs(output - other).max() > 1e-2


def connect(module, sublayer, inputs, deterministic=True):
    outputs = sublayer(module.before(inputs, None, deterministic))
    return module.after(inputs, outputs, None, deterministic)


def test_a_residual_drops_the_sublayer_and_keeps_the_inputs(inputs):
    module = Residual(OPTIONS.of_layer(norm_placement="pre", residual_dropout_rate=0.5))
    rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    output, _ = module.init_with_output(rngs, jnp.ones_like, inputs, False, method=connect)
    np.testing.assert_allclose(jnp.unique((output - inputs).round(3)), [0, 2])


@pytest.mark.parametrize(("layer", "method"), [(EncoderLayer, encode), (DecoderLayer, decode)])
@pytest.mark.parametrize("rate", RATES)
def test_each_rate_drops_something_and_only_in_training(inputs, memory, layer, method, rate):
    module = layer(dataclasses.replace(OPTIONS, **{rate: 0.5}))
    variables = draw_parameters(module, inputs, memory, method=method)
    plain = layer(OPTIONS).apply(variables, inputs, memory, method=method)

    def apply(**options):
        return module.apply(variables, inputs, memory, method=method, **options)

    np.testing.assert_array_equal(apply(), plain)
    first, second = (
        apply(deterministic=False, rngs={"dropout": jax.random.key(seed)}) for seed in (1, 2)
    )
    assert jnp.abs(first - plain).max() > 1e-3
    assert jnp.abs(first - second).max() > 1e-3
    with pytest.raises(flax.errors.InvalidRngError):
        apply(deterministic=False)
