from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from parameters import draw_parameters
from reference import assert_close

from flax_transformer.errors import UserError
from flax_transformer.functional import ACTIVATIONS
from flax_transformer.modules import FeedForward, LayerOptions

BATCH, LENGTH, D_MODEL, D_FF = 2, 5, 7, 11
OPTIONS = LayerOptions(d_model=D_MODEL, d_ff=D_FF, num_heads=1)
MODULE = FeedForward(OPTIONS)


def with_options(**changes: Any) -> FeedForward:
    return FeedForward(OPTIONS.of_layer(**changes))


@pytest.fixture
def inputs(normal):
    return normal(BATCH, LENGTH, D_MODEL)


@pytest.fixture
def variables(inputs):
    return draw_parameters(MODULE, inputs)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_it_is_the_formula_with_its_own_parameters(inputs, name):
    module = with_options(activation=name)
    variables = draw_parameters(module, inputs)
    expected = reference.feed_forward(variables["params"], inputs, name)
    assert_close(module.apply(variables, inputs), expected, 1e-5)


def test_each_half_of_a_gated_layer_is_drawn_as_a_matrix_of_its_own():
    module = with_options(d_model=101, d_ff=307, activation="swiglu")
    variables: Any = module.init(jax.random.key(0), jnp.ones((1, 101)))
    kernel = variables["params"]["hidden"]["kernel"]
    assert kernel.shape == (101, 2, 307)
    # Glorot and Bengio 2010: uniform, of variance 2 / (fan in + fan out).
    np.testing.assert_allclose(kernel.var(axis=(0, 2)), 2 / (101 + 307), rtol=0.05)


def test_parameters_are_float32_whatever_is_computed(inputs):
    outputs, variables = with_options(dtype="bfloat16").init_with_output(jax.random.key(0), inputs)
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert outputs.dtype == jnp.bfloat16


def test_an_unknown_activation_is_refused():
    with pytest.raises(UserError, match=r"unknown --model.activation 'rleu': did you mean 'relu'"):
        with_options(activation="rleu")


def test_without_biases_it_has_kernels_only(inputs):
    module = with_options(feed_forward_bias=False, activation="swiglu")
    variables = draw_parameters(module, inputs)
    assert {name: set(layer) for name, layer in variables["params"].items()} == {
        "hidden": {"kernel"},
        "output": {"kernel"},
    }
    zeros = {"hidden": jnp.zeros((2, D_FF)), "output": jnp.zeros(D_MODEL)}
    params = {name: layer | {"bias": zeros[name]} for name, layer in variables["params"].items()}
    expected = with_options(activation="swiglu").apply({"params": params}, inputs)
    np.testing.assert_array_equal(module.apply(variables, inputs), expected)


def test_positions_do_not_see_each_other(inputs, variables):
    jacobian = jax.jacobian(lambda x: MODULE.apply(variables, x))(inputs[0])
    influence = jnp.any(jacobian != 0, axis=(1, 3))
    np.testing.assert_array_equal(influence, np.eye(LENGTH, dtype=bool))


def test_dropout_drops_hidden_units(inputs, variables):
    """With all but one hidden unit cut off, an output is all bias or all of that unit."""
    module = with_options(feed_forward_dropout_rate=0.5)
    inputs = jnp.tile(inputs[:1, :1], (97, 1, 1))
    hidden, output = variables["params"]["hidden"], variables["params"]["output"]
    hidden = hidden | {"bias": jnp.full(D_FF, -1e3).at[3].set(1e3)}
    variables = {"params": {"hidden": hidden, "output": output}}
    dropped = module.apply(
        variables, inputs, deterministic=False, rngs={"dropout": jax.random.key(0)}
    )
    is_bias = jnp.all(dropped == output["bias"], axis=(1, 2))
    assert 0 < is_bias.sum() < len(inputs)
    kept = module.apply(variables, inputs)
    np.testing.assert_allclose(
        (dropped - output["bias"])[~is_bias], 2 * (kept - output["bias"])[~is_bias], rtol=1e-4
    )
