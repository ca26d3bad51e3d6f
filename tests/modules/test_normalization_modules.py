from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from double_precision import enable_x64
from parameters import draw_parameters
from reference import assert_close

from flax_transformer.modules import NORMS, BatchNorm, LayerNorm

BATCH, LENGTH, D_MODEL = 2, 5, 7
IS_TOKEN = jnp.array([[True, True, True, False, False], [True, False, True, True, True]])
FORMULAS = {
    "layer": reference.layer_norm,
    "rms": reference.rms_norm,
    "rms_plus_one": reference.rms_norm,
}
each_norm = pytest.mark.parametrize("name", NORMS)


@pytest.fixture
def inputs(normal):
    return 3 * normal(BATCH, LENGTH, D_MODEL) + 1


def train(module, variables, inputs, is_token):
    """The outputs in training and the variables with new statistics."""
    outputs, changed = module.apply(
        variables, inputs, is_token, deterministic=False, mutable=["batch_stats"]
    )
    return outputs, {**variables, **changed}


@each_norm
def test_it_is_the_formula_with_its_own_parameters(inputs, name):
    module = NORMS[name](epsilon=0.01)
    variables = draw_parameters(module, inputs)
    params = variables["params"]
    outputs, _ = train(module, variables, inputs, IS_TOKEN)
    if name == "batch":
        expected = reference.batch_norm(inputs, IS_TOKEN, 0.01)[0]
    else:
        expected = FORMULAS[name](inputs, 0.01)
    factor = params["scale"] + (1 if name == "rms_plus_one" else 0)
    assert_close(outputs, expected * factor + params.get("bias", 0), 1e-5)


@each_norm
@pytest.mark.parametrize("deterministic", [True, False])
def test_padding_has_no_influence(inputs, name, deterministic):
    module = NORMS[name]()
    variables = draw_parameters(module, inputs)
    variables = jax.tree.map(jnp.abs, variables)  # a variance is not negative
    other = jnp.where(IS_TOKEN[..., None], inputs, 97.0)
    (kept, kept_variables), (changed, changed_variables) = (
        train(module, variables, x, IS_TOKEN)
        if not deterministic
        else (module.apply(variables, x, IS_TOKEN, True), variables)
        for x in (inputs, other)
    )
    np.testing.assert_array_equal(kept[IS_TOKEN], changed[IS_TOKEN])
    jax.tree.map(np.testing.assert_array_equal, kept_variables, changed_variables)


@each_norm
def test_parameters_and_statistics_start_neutral_in_float32(inputs, name):
    with enable_x64(True):
        variables = NORMS[name](dtype="bfloat16").init(jax.random.key(0), inputs, IS_TOKEN, False)
    leaves = {path[-1].key: x for path, x in jax.tree.leaves_with_path(variables)}
    assert {x.dtype for x in leaves.values()} == {jnp.dtype("float32")}
    zeros = {"bias", "mean", *(["scale"] if name == "rms_plus_one" else [])}
    assert {key: set(x.tolist()) for key, x in leaves.items()} == {
        key: {0.0} if key in zeros else {1.0} for key in leaves
    }
    assert ("batch_stats" in variables) == (name == "batch")


@each_norm
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_result_alone_is_rounded_to_the_type(inputs, name, dtype):
    module, wide = NORMS[name](dtype=dtype), NORMS[name]()
    variables = wide.init(jax.random.key(0), inputs)
    outputs: Any = module.apply(variables, inputs)
    expected: Any = wide.apply(variables, inputs)
    assert outputs.dtype == dtype
    np.testing.assert_array_equal(outputs, expected.astype(dtype))


def test_layer_norm_is_that_of_flax(inputs):
    variables = draw_parameters(LayerNorm(), inputs)
    assert_close(
        LayerNorm().apply(variables, inputs), nn.LayerNorm().apply(variables, inputs), 1e-5
    )


def test_running_statistics_move_a_tenth_toward_those_of_each_batch(inputs):
    module = BatchNorm()
    variables = module.init(jax.random.key(0), inputs)
    expected = {"mean": np.zeros(D_MODEL), "variance": np.ones(D_MODEL)}
    for batch in (inputs, inputs[:1] ** 2):
        is_token = IS_TOKEN[: len(batch)]
        _, variables = train(module, variables, batch, is_token)
        _, mean, variance = reference.batch_norm(batch, is_token)
        for name, new in {"mean": mean, "variance": variance}.items():
            expected[name] = 0.9 * expected[name] + 0.1 * new
            assert_close(variables["batch_stats"][name], expected[name], 1e-5)


def test_running_statistics_normalize_when_deterministic(inputs):
    module = BatchNorm(epsilon=0.01)
    variables = jax.tree.map(jnp.abs, draw_parameters(module, inputs))
    params, running = variables["params"], variables["batch_stats"]
    outputs, changed = module.apply(variables, inputs, mutable=["batch_stats"])
    normalized = (inputs - running["mean"]) / np.sqrt(running["variance"] + 0.01)
    assert_close(outputs, normalized * params["scale"] + params["bias"], 1e-5)
    jax.tree.map(np.testing.assert_array_equal, changed["batch_stats"], running)


def test_a_batch_without_tokens_teaches_nothing(inputs):
    variables = BatchNorm().init(jax.random.key(0), inputs)
    outputs, after = train(BatchNorm(), variables, inputs, jnp.zeros_like(IS_TOKEN))
    assert jnp.isfinite(outputs).all()
    jax.tree.map(np.testing.assert_array_equal, after, variables)
