import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from parameters import draw_parameters
from reference import assert_close

from flax_transformer.modules import FeedForward

BATCH, LENGTH, D_MODEL, D_FF = 2, 5, 7, 11
MODULE = FeedForward(D_MODEL, D_FF)


@pytest.fixture
def inputs(normal):
    return normal(BATCH, LENGTH, D_MODEL)


@pytest.fixture
def variables(inputs):
    return draw_parameters(MODULE, inputs)


def test_it_is_the_formula_with_its_own_parameters(inputs, variables):
    expected = reference.feed_forward(variables["params"], inputs)
    assert_close(MODULE.apply(variables, inputs), expected, 1e-5)


def test_positions_do_not_see_each_other(inputs, variables):
    jacobian = jax.jacobian(lambda x: MODULE.apply(variables, x))(inputs[0])
    influence = jnp.any(jacobian != 0, axis=(1, 3))
    np.testing.assert_array_equal(influence, np.eye(LENGTH, dtype=bool))


def test_dropout_drops_hidden_units(inputs, variables):
    """With all but one hidden unit cut off, an output is all bias or all of that unit."""
    module = MODULE.clone(dropout_rate=0.5)
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
