import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from jax.test_util import check_grads
from reference import assert_close

from flax_transformer.functional import ACTIVATIONS, feed_forward

BATCH, LENGTH, D_MODEL, D_FF = 2, 3, 5, 7
each_activation = pytest.mark.parametrize("name", ACTIVATIONS)


def draw(normal, name):
    """Inputs and parameters for an activation."""
    halves = (2,) if ACTIVATIONS[name].is_gated else ()
    shapes = (D_MODEL, *halves, D_FF), (*halves, D_FF), (D_FF, D_MODEL), (D_MODEL,)
    return normal(BATCH, LENGTH, D_MODEL), [normal(*shape) for shape in shapes]


@each_activation
def test_it_is_the_formula(tolerance, normal, name):
    inputs, parameters = draw(normal, name)
    actual = feed_forward(inputs, *parameters, activation=name)
    hidden, output = ({"kernel": w, "bias": b} for w, b in (parameters[:2], parameters[2:]))
    expected = reference.feed_forward({"hidden": hidden, "output": output}, inputs, name)
    assert_close(actual, expected, tolerance)


@each_activation
def test_an_activation_is_its_formula_also_far_from_zero(tolerance, name):
    hidden = jnp.array([-97.0, -3.0, -0.5, 0.0, 0.5, 3.0, 97.0])
    if ACTIVATIONS[name].is_gated:
        hidden = jnp.stack([hidden, hidden[::-1] + 1])
    assert_close(ACTIVATIONS[name].function(hidden), reference.activation(name, hidden), tolerance)
    gradient = jax.grad(lambda x: ACTIVATIONS[name].function(x).sum())(hidden)
    assert jnp.isfinite(gradient).all()


@pytest.mark.usefixtures("double")
@each_activation
def test_its_gradient_is_that_of_finite_differences(normal, name):
    inputs, parameters = draw(normal, name)
    check_grads(
        lambda *x: feed_forward(*x, activation=name), (inputs, *parameters), 1, modes=["rev"]
    )


@each_activation
def test_bfloat16_stays_bfloat16(normal, name):
    arguments = jax.tree.map(lambda x: x.astype(jnp.bfloat16), draw(normal, name))
    wide = jax.tree.map(lambda x: x.astype(jnp.float32), arguments)
    # The factors of dropout are float32 whatever the computation is in.
    dropout = jnp.ones((BATCH, LENGTH, D_FF))
    low, high = (feed_forward(x, *rest, name, dropout) for x, rest in (arguments, wide))
    assert low.dtype == jnp.bfloat16
    assert_close(low, high, 2**-6)


def test_dropout_multiplies_the_activations(normal):
    inputs, (kernel, bias, output_kernel, output_bias) = draw(normal, "relu")
    dropped = jnp.zeros((BATCH, LENGTH, D_FF)).at[..., 3].set(2.0)
    actual = feed_forward(inputs, kernel, bias, output_kernel, output_bias, dropout=dropped)
    hidden = 2 * jax.nn.relu(inputs @ kernel[:, 3] + bias[3])
    assert_close(actual, hidden[..., None] * output_kernel[3] + output_bias, 1e-5)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("place", "shape", "message"),
    [
        (0, (2, 3), r"inputs \(2, 3\) must be \(2, 5\) for output_kernel \(7, 5\)"),
        (1, (5, 2, 7), r"hidden_kernel \(5, 2, 7\) must be \(5, 7\)"),
        (2, (2, 7), r"hidden_bias \(2, 7\) must be \(7,\)"),
        (4, (1,), r"output_bias \(1,\) must be \(5,\)"),
        (6, (2, 3), r"dropout \(2, 3\) must be \(2, 3, 7\)"),
    ],
)
def test_shapes_that_do_not_fit_are_named(normal, place, shape, message):
    inputs, parameters = draw(normal, "relu")
    arguments = [inputs, *parameters, "relu", jnp.ones((BATCH, LENGTH, D_FF))]
    arguments[place] = jnp.ones(shape)
    with pytest.raises(ValueError, match=message):
        feed_forward(*arguments)


@pytest.mark.usefixtures("unchecked_types")
def test_a_gate_must_have_two_halves_and_a_name_must_be_known(normal):
    with pytest.raises(ValueError, match=r"hidden \(3, 7\) must hold two halves"):
        ACTIVATIONS["swiglu"].function(jnp.ones((3, 7)))
    inputs, parameters = draw(normal, "relu")
    with pytest.raises(ValueError, match="no activation 'rleu': known are relu, gelu"):
        feed_forward(inputs, *parameters, activation="rleu")
    with pytest.raises(ValueError, match=r"hidden_kernel \(5, 7\) must be \(5, 2, 7\)"):
        feed_forward(inputs, *parameters, activation="geglu")


def test_every_activation_is_described():
    assert all(activation.description for activation in ACTIVATIONS.values())
    assert len({np.asarray(a.function(jnp.ones((2, 1)))).item(0) for a in ACTIVATIONS.values()}) > 1


@each_activation
def test_a_bias_that_is_not_there_is_one_of_zeros(normal, name):
    inputs, (hidden, hidden_bias, output, output_bias) = draw(normal, name)
    for without in ((None, output_bias), (hidden_bias, None), (None, None)):
        zeros = [
            jnp.zeros_like(bias) if given is None else given
            for bias, given in zip((hidden_bias, output_bias), without, strict=True)
        ]
        actual, expected = (
            feed_forward(inputs, hidden, first, output, second, activation=name)
            for first, second in (without, zeros)
        )
        np.testing.assert_array_equal(actual, expected)
