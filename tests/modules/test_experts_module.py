import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from parameters import draw_parameters
from reference import assert_close

from flax_transformer.errors import UserError
from flax_transformer.functional import expert_weights, load_balancing_loss
from flax_transformer.modules import Experts, LayerOptions

BATCH, LENGTH, D_MODEL, D_FF, EXPERTS = 2, 5, 7, 11, 3
OPTIONS = LayerOptions(
    d_model=D_MODEL,
    d_ff=D_FF,
    num_heads=1,
    feed_forward="experts",
    num_experts=EXPERTS,
    balancing_weight=0.25,
    activation="swiglu",
)
MODULE = Experts(OPTIONS)


def experts(**changes: Any) -> Experts:
    return Experts(dataclasses.replace(OPTIONS, **changes))


@pytest.fixture
def inputs(normal):
    return normal(BATCH, LENGTH, D_MODEL)


@pytest.fixture
def variables(inputs):
    return draw_parameters(MODULE, inputs)


def balancing_of(module: Experts, variables: Any, *inputs: Any) -> Any:
    applied: Any = module.apply(variables, *inputs, mutable=["losses"])
    _, collections = applied
    (loss,) = collections["losses"]["balancing"]
    return loss


def test_it_is_the_weighted_sum_of_feed_forward_networks(inputs, variables):
    params = variables["params"]
    logits = np.asarray(inputs) @ np.asarray(params["router"]["kernel"])
    weights = np.asarray(expert_weights(jnp.asarray(logits), 2), np.float64)
    expected = 0.0
    for e in range(EXPERTS):
        network = jax.tree.map(lambda x, e=e: x[e], {k: params[k] for k in ("hidden", "output")})
        expected += weights[..., e, None] * reference.feed_forward(network, inputs, "swiglu")
    assert_close(MODULE.apply(variables, inputs), expected, 1e-5)


def test_a_single_expert_is_a_feed_forward_network(inputs):
    module = experts(num_experts=1, experts_per_token=1, activation="relu")
    variables = draw_parameters(module, inputs)
    network = jax.tree.map(lambda x: x[0], variables["params"])
    assert_close(module.apply(variables, inputs), reference.feed_forward(network, inputs), 1e-5)


def test_it_stores_the_weighted_balancing_loss_of_the_tokens(inputs, variables):
    is_token = jnp.ones((BATCH, LENGTH), bool).at[0, 2:].set(False)
    logits = inputs @ variables["params"]["router"]["kernel"]
    expected = 0.25 * load_balancing_loss(logits, is_token, 2)
    assert_close(balancing_of(MODULE, variables, inputs, is_token), expected, 1e-6)


def test_the_balancing_loss_teaches_the_router_only(inputs, variables):
    gradient = jax.grad(lambda v: balancing_of(MODULE, v, inputs))(variables)["params"]
    assert jnp.abs(gradient["router"]["kernel"]).max() > 0
    for leaf in jax.tree.leaves([gradient["hidden"], gradient["output"]]):
        np.testing.assert_array_equal(leaf, 0)


def test_variables_hold_parameters_only(inputs):
    variables: Any = MODULE.init(jax.random.key(0), inputs)
    assert variables.keys() == {"params"}
    shapes = jax.tree.map(jnp.shape, variables["params"])
    assert shapes == {
        "router": {"kernel": (D_MODEL, EXPERTS)},
        "hidden": {"kernel": (EXPERTS, D_MODEL, 2, D_FF), "bias": (EXPERTS, 2, D_FF)},
        "output": {"kernel": (EXPERTS, D_FF, D_MODEL), "bias": (EXPERTS, D_MODEL)},
    }


def test_each_expert_and_each_half_is_drawn_as_a_matrix_of_its_own():
    module = experts(d_model=101, d_ff=307)
    params: Any = module.init(jax.random.key(0), jnp.ones((1, 101)))["params"]
    # Glorot and Bengio 2010: uniform, of variance 2 / (fan in + fan out).
    for layer, axes in (("hidden", (1, 3)), ("output", (1, 2))):
        variances = params[layer]["kernel"].var(axis=axes)
        np.testing.assert_allclose(variances, 2 / (101 + 307), rtol=0.05)


def test_without_biases_it_has_none(inputs):
    variables: Any = experts(feed_forward_bias=False).init(jax.random.key(0), inputs)
    assert {name: [*part] for name, part in variables["params"].items()} == {
        "router": ["kernel"],
        "hidden": ["kernel"],
        "output": ["kernel"],
    }


def test_parameters_and_router_are_float32_whatever_is_computed(inputs, variables):
    module = experts(dtype="bfloat16")
    outputs, drawn = module.init_with_output(jax.random.key(0), inputs)
    assert {x.dtype for x in jax.tree.leaves(drawn)} == {jnp.dtype("float32")}
    assert outputs.dtype == jnp.bfloat16
    # The same experts are chosen, so that the outputs differ by rounding only.
    wide, narrow = (np.asarray(m.apply(variables, inputs), "float32") for m in (MODULE, module))
    assert_close(narrow, wide, 0.03)


def test_positions_do_not_see_each_other(inputs, variables):
    jacobian = jax.jacobian(lambda x: MODULE.apply(variables, x))(inputs[0])
    influence = jnp.any(jacobian != 0, axis=(1, 3))
    np.testing.assert_array_equal(influence, np.eye(LENGTH, dtype=bool))


def test_dropout_is_drawn_for_every_expert(inputs, variables):
    module = experts(feed_forward_dropout_rate=0.5)

    def drop(key: int) -> Any:
        rngs = {"dropout": jax.random.key(key)}
        return module.apply(variables, inputs, deterministic=False, rngs=rngs)

    assert not jnp.allclose(drop(0), drop(1))
    np.testing.assert_array_equal(drop(0), drop(0))
    mean = jnp.mean(jnp.stack([drop(key) for key in range(200)]), axis=0)
    assert_close(mean, MODULE.apply(variables, inputs), 0.2)


def test_more_experts_a_token_than_there_are_are_refused():
    with pytest.raises(
        UserError, match=r"experts-per-token 4 exceeds --model.num-experts 3: change one"
    ):
        experts(experts_per_token=4)
