import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from jax.test_util import check_grads
from reference import assert_close

from flax_transformer.functional import label_smoothed_cross_entropy

BATCH, LENGTH, VOCAB = 2, 5, 7
TARGETS = jnp.array([[0, 1, 2, 3, 4], [6, 6, 5, 0, 2]])
SMOOTHINGS = pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.7])


@pytest.fixture
def logits(normal):
    return 3 * normal(BATCH, LENGTH, VOCAB)


@pytest.fixture
def weights():
    """Whole, partial and no weight."""
    return jnp.array([[1, 1, 0.5, 1, 0], [0.25, 1, 2, 0, 0]])


def plain(logits, targets, weights, label_smoothing):
    """The same loss from its definition, differentiated by JAX."""
    q = optimal(targets, label_smoothing)
    return -jnp.sum(weights[..., None] * q * jax.nn.log_softmax(logits))


def optimal(targets, label_smoothing):
    return (1 - label_smoothing) * jax.nn.one_hot(targets, VOCAB) + label_smoothing / VOCAB


@SMOOTHINGS
def test_the_loss_is_the_cross_entropy_to_the_smoothed_targets(
    tolerance, logits, weights, label_smoothing
):
    arguments = (logits, TARGETS, weights, label_smoothing)
    actual = label_smoothed_cross_entropy(*arguments)
    expected = reference.label_smoothed_cross_entropy(*arguments)
    jax.tree.map(functools.partial(assert_close, tolerance=tolerance), actual, expected)


@SMOOTHINGS
def test_its_gradient_is_that_of_the_plain_form(tolerance, logits, weights, label_smoothing):
    actual = jax.grad(lambda *x: label_smoothed_cross_entropy(*x)[0])(
        logits, TARGETS, weights, label_smoothing
    )
    expected = jax.grad(plain)(logits, TARGETS, weights, label_smoothing)
    assert_close(actual, expected, tolerance)


@pytest.mark.usefixtures("double")
@SMOOTHINGS
def test_its_gradient_is_that_of_finite_differences(logits, weights, label_smoothing):
    def loss(logits, weights):
        return label_smoothed_cross_entropy(logits, TARGETS, weights, label_smoothing)[0]

    check_grads(loss, (logits, weights), order=1, modes=["rev"])


@SMOOTHINGS
def test_the_smoothed_targets_themselves_have_no_gradient(label_smoothing, weights):
    logits = jnp.log(optimal(TARGETS, label_smoothing) + 1e-30)
    gradient = jax.grad(lambda *x: label_smoothed_cross_entropy(*x)[0])(
        logits, TARGETS, weights, label_smoothing
    )
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_equal_logits_cost_the_logarithm_of_the_vocabulary(shift):
    total, weight = label_smoothed_cross_entropy(
        jnp.full((BATCH, LENGTH, VOCAB), shift), TARGETS, jnp.ones((BATCH, LENGTH)), 0.1
    )
    np.testing.assert_allclose(total / weight, np.log(VOCAB), rtol=1e-6 + 1e-7 * shift)


def test_weight_zero_has_no_influence(logits, weights):
    other = jnp.where(weights[..., None] > 0, logits, 97.0)
    other_targets = jnp.where(weights > 0, TARGETS, 0)
    grad = jax.value_and_grad(label_smoothed_cross_entropy, has_aux=True)
    results = grad(logits, TARGETS, weights, 0.1), grad(other, other_targets, weights, 0.1)
    jax.tree.map(np.testing.assert_array_equal, *results)
    assert not results[0][1][weights == 0].any()


def test_sums_and_weights_of_parts_add_up(logits, weights):
    def loss(*parts):
        return jnp.stack(label_smoothed_cross_entropy(*parts, 0.1))

    whole = loss(logits, TARGETS, weights)
    parts = [loss(logits[i], TARGETS[i], weights[i]) for i in range(BATCH)]
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-6)


def test_bfloat16_logits_give_a_float32_loss_and_a_bfloat16_gradient(logits, weights):
    low = logits.astype(jnp.bfloat16)
    grad = jax.value_and_grad(label_smoothed_cross_entropy, has_aux=True)
    (total, weight), gradient = grad(low, TARGETS, weights, 0.1)
    (expected, _), expected_gradient = grad(low.astype(jnp.float32), TARGETS, weights, 0.1)
    assert (total.dtype, weight.dtype, gradient.dtype) == (jnp.float32, jnp.float32, jnp.bfloat16)
    assert total == expected
    assert_close(gradient, expected_gradient, 2**-8)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("targets_shape", "weights_shape", "label_smoothing", "message"),
    [
        ((2, 3), (2, 3), 0.1, r"logits \(2, 5, 7\), targets \(2, 3\)"),
        ((2, 5), (5,), 0.1, r"weights \(5,\) differ"),
        ((2, 5), (2, 5), 1.0, r"label_smoothing must be in \[0, 1\), not 1\.0"),
        ((2, 5), (2, 5), -0.1, r"not -0\.1"),
    ],
)
def test_what_does_not_fit_is_named(targets_shape, weights_shape, label_smoothing, message):
    logits, targets = jnp.zeros((BATCH, LENGTH, VOCAB)), jnp.zeros(targets_shape, int)
    with pytest.raises(ValueError, match=message):
        label_smoothed_cross_entropy(logits, targets, jnp.zeros(weights_shape), label_smoothing)
