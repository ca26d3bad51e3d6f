import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from jax.test_util import check_grads
from reference import assert_close

from flax_transformer.functional import batch_norm, batch_statistics, layer_norm, rms_norm

BATCH, LENGTH, D_MODEL = 2, 5, 7
IS_TOKEN = jnp.array([[True, True, True, False, False], [True, False, True, True, True]])


def by_own_statistics(inputs, scale, bias, epsilon=1e-6):
    return batch_norm(inputs, *batch_statistics(inputs), scale, bias, epsilon=epsilon)


NORMS = {
    "layer": (layer_norm, reference.layer_norm, 2),
    "rms": (rms_norm, reference.rms_norm, 1),
    "batch": (by_own_statistics, lambda *x: reference.batch_norm(x[0], None, *x[1:])[0], 2),
}
each_norm = pytest.mark.parametrize("name", NORMS)


@pytest.fixture
def inputs(normal):
    return 3 * normal(BATCH, LENGTH, D_MODEL) + 1


@pytest.fixture
def parameters(normal):
    """Scale and bias."""
    return normal(D_MODEL), normal(D_MODEL)


@each_norm
@pytest.mark.parametrize("epsilon", [1e-6, 0.3])
def test_it_is_the_formula(tolerance, normal, name, epsilon):
    function, formula, num_parameters = NORMS[name]
    inputs, (scale, bias) = 3 * normal(BATCH, LENGTH, D_MODEL) + 1, normal(2, D_MODEL)
    actual = function(inputs, *(scale, bias)[:num_parameters], epsilon=epsilon)
    expected = formula(inputs, epsilon) * scale + (bias if num_parameters == 2 else 0)
    assert_close(actual, expected, tolerance)


@pytest.mark.parametrize("name", ["layer", "batch"])
@pytest.mark.parametrize("offset", [1e3, -1e5])
def test_vectors_far_from_zero_keep_their_variance(normal, name, offset):
    """In float32, where mean(x^2) - mean(x)^2 has no correct digit left."""
    function, formula, _ = NORMS[name]
    inputs = normal(BATCH, 11, 13) * 17 + offset
    actual = function(inputs, jnp.ones(13), jnp.zeros(13))
    # The mean itself is rounded in the last digit of the offset.
    rounding = 2 * abs(offset) * 2**-23 / 17
    assert_close(actual, formula(inputs, 1e-6), max(1e-5, rounding))


@pytest.mark.usefixtures("double")
@each_norm
def test_its_derivatives_are_those_of_finite_differences(inputs, parameters, name):
    function, _, num_parameters = NORMS[name]
    check_grads(function, (inputs, *parameters[:num_parameters]), order=2)


@pytest.mark.parametrize("name", ["layer", "rms"])
def test_a_gradient_keeps_one_array_of_the_size_of_the_inputs(inputs, parameters, name):
    function, _, num_parameters = NORMS[name]
    _, gradient = jax.vjp(function, inputs, *parameters[:num_parameters])
    assert [kept.shape for kept in jax.tree.leaves(gradient)].count(inputs.shape) == 1


@each_norm
def test_bfloat16_is_rounded_only_at_the_end(inputs, parameters, name):
    function, _, num_parameters = NORMS[name]
    low, parameters = inputs.astype(jnp.bfloat16), parameters[:num_parameters]
    actual = function(low, *parameters)
    expected = function(low.astype(jnp.float32), *parameters)
    assert actual.dtype == jnp.bfloat16
    np.testing.assert_array_equal(actual, expected.astype(jnp.bfloat16))


@pytest.mark.parametrize("name", ["layer", "rms"])
def test_vectors_do_not_see_each_other(inputs, parameters, name):
    function, _, num_parameters = NORMS[name]
    jacobian = jax.jacobian(lambda x: function(x, *parameters[:num_parameters]))(inputs[0])
    influence = jnp.any(jacobian != 0, axis=(1, 3))
    np.testing.assert_array_equal(influence, np.eye(LENGTH, dtype=bool))


@each_norm
def test_a_constant_does_not_give_nan(name):
    function, _, num_parameters = NORMS[name]
    parameters = (jnp.ones(D_MODEL), jnp.zeros(D_MODEL))[:num_parameters]
    gradient = jax.grad(lambda x: jnp.sum(function(x, *parameters) ** 2))(jnp.zeros((3, D_MODEL)))
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("is_token", [None, IS_TOKEN], ids=["all", "padded"])
def test_statistics_are_those_of_the_tokens(tolerance, normal, is_token):
    inputs = 3 * normal(BATCH, LENGTH, D_MODEL) + 1
    _, *expected = reference.batch_norm(inputs, is_token)
    for actual, statistic in zip(batch_statistics(inputs, is_token), expected, strict=True):
        assert_close(actual, statistic, tolerance)


def test_what_stands_at_padding_has_no_influence(inputs):
    def total(inputs):
        return sum(jnp.sum(statistic**2) for statistic in batch_statistics(inputs, IS_TOKEN))

    other = jnp.where(IS_TOKEN[..., None], inputs, jnp.inf)
    np.testing.assert_array_equal(total(other), total(inputs))
    influence = jnp.any(jax.grad(total)(inputs) != 0, axis=-1)
    np.testing.assert_array_equal(influence, IS_TOKEN)


def test_statistics_of_nothing_are_zero(inputs):
    mean, variance = batch_statistics(inputs, jnp.zeros_like(IS_TOKEN))
    np.testing.assert_array_equal(jnp.stack([mean, variance]), 0)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, one: layer_norm(x, one, jnp.ones(3)), r"bias \(3,\) .* inputs \(2, 5, 7\)"),
        (lambda x, one: rms_norm(x, jnp.ones((1, 7))), r"scale \(1, 7\) must have the width"),
        (lambda x, one: batch_norm(x, one, jnp.ones(5), one, one), r"variance \(5,\) must have"),
        (lambda x, one: rms_norm(x, one, epsilon=-1.0), r"epsilon must not be .* is -1\.0"),
        (lambda x, one: batch_statistics(x, jnp.ones(5, bool)), r"is_token \(5,\) does not fit"),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.ones((BATCH, LENGTH, D_MODEL)), jnp.ones(D_MODEL))


def test_a_layer_norm_without_a_bias_adds_none(inputs, normal):
    scale = normal(D_MODEL)
    expected = layer_norm(inputs, scale, jnp.zeros(D_MODEL, scale.dtype))
    np.testing.assert_array_equal(layer_norm(inputs, scale), expected)
