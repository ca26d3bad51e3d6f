import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from reference import assert_close

from flax_transformer.functional import expert_feed_forward, expert_weights, load_balancing_loss

BATCH, LENGTH, D_MODEL, D_FF, EXPERTS = 2, 5, 7, 3, 4


@pytest.fixture
def logits(normal):
    return 3 * normal(BATCH, LENGTH, EXPERTS)


def chosen_of(logits, number):
    """The experts of each token, those of the largest logits."""
    return np.argsort(-np.asarray(logits), axis=-1)[..., :number]


@pytest.mark.parametrize("number", [1, 2, EXPERTS])
def test_weights_are_the_softmax_over_the_logits_of_the_chosen(tolerance, logits, number):
    weights = np.asarray(expert_weights(logits, number))
    expected = np.zeros_like(weights)
    for place in np.ndindex(BATCH, LENGTH):
        chosen = chosen_of(logits, number)[place]
        exponentials = np.exp(np.asarray(logits, np.float64)[place][chosen])
        expected[place][chosen] = exponentials / exponentials.sum()
    assert_close(weights, expected, tolerance)
    np.testing.assert_array_equal((weights > 0).sum(axis=-1), number)


def test_equal_logits_choose_as_many_experts_as_asked_for():
    assert expert_weights(jnp.zeros(EXPERTS), 2).tolist() == [0.5, 0.5, 0, 0]


@pytest.mark.parametrize("activation", ["relu", "swiglu"])
@pytest.mark.parametrize("has_biases", [False, True])
def test_outputs_are_the_weighted_sum_of_the_chosen_networks(
    tolerance, normal, logits, activation, has_biases
):
    halves = (2,) if activation == "swiglu" else ()
    inputs, weights = normal(BATCH, LENGTH, D_MODEL), expert_weights(logits)
    hidden, output = normal(EXPERTS, D_MODEL, *halves, D_FF), normal(EXPERTS, D_FF, D_MODEL)
    biases = normal(EXPERTS, *halves, D_FF), normal(EXPERTS, D_MODEL)
    given = biases if has_biases else (None, None)
    actual = expert_feed_forward(
        inputs, weights, hidden, given[0], output, given[1], activation=activation
    )
    expected = np.zeros(inputs.shape)
    for place in np.ndindex(BATCH, LENGTH):
        for e in chosen_of(logits, 2)[place]:
            bias = [x[e] * has_biases for x in biases]
            params = {
                "hidden": {"kernel": hidden[e], "bias": bias[0]},
                "output": {"kernel": output[e], "bias": bias[1]},
            }
            network = reference.feed_forward(params, np.asarray(inputs)[place], activation)
            expected[place] += float(weights[place][e]) * network
    assert_close(actual, expected, 10 * tolerance)


def test_an_expert_that_no_token_chose_has_no_gradient(normal):
    hidden, output = normal(EXPERTS, D_MODEL, D_FF), normal(EXPERTS, D_FF, D_MODEL)
    inputs, logits = normal(LENGTH, D_MODEL), jnp.array([3.0, 2.0, -5.0, 1.0])

    def total(hidden, logits):
        weights = jnp.broadcast_to(expert_weights(logits), (LENGTH, EXPERTS))
        return expert_feed_forward(
            inputs, weights, hidden, None, output, None, activation="silu"
        ).sum()

    of_hidden, of_logits = jax.grad(total, (0, 1))(hidden, logits)
    np.testing.assert_array_equal(jnp.abs(of_hidden).sum((1, 2)) > 0, [True, True, False, False])
    np.testing.assert_array_equal(of_logits != 0, [True, True, False, False])


def test_dropout_multiplies_the_hidden_layer_of_every_expert(normal):
    hidden, output = normal(EXPERTS, D_MODEL, D_FF), normal(EXPERTS, D_FF, D_MODEL)
    inputs, weights = normal(LENGTH, D_MODEL), jnp.full((LENGTH, EXPERTS), 0.25)
    call = lambda dropout: expert_feed_forward(  # noqa: E731
        inputs, weights, hidden, None, output, None, activation="relu", dropout=dropout
    )
    only = jnp.zeros((LENGTH, EXPERTS, D_FF)).at[:, 1].set(1)
    one = 0.25 * jax.nn.relu(inputs @ hidden[1]) @ output[1]
    assert_close(call(only), one, 1e-6)


def balancing(logits, tokens, number):
    """Equations 4 to 6 of Fedus et al. 2022 over a list of tokens."""
    share, probability = np.zeros(EXPERTS), np.zeros(EXPERTS)
    for place in tokens:
        exponentials = np.exp(np.asarray(logits, np.float64)[place])
        probability += exponentials / exponentials.sum() / len(tokens)
        share[chosen_of(logits, number)[place]] += 1 / len(tokens)
    return EXPERTS * (share * probability).sum()


@pytest.mark.parametrize("number", [1, 2])
def test_the_balancing_loss_leaves_padding_out(tolerance, logits, number):
    is_token = np.ones((BATCH, LENGTH), bool)
    is_token[0, 3:] = is_token[1, 0] = False
    tokens = [tuple(place) for place in np.argwhere(is_token)]
    padded = jnp.where(is_token[..., None], logits, jnp.nan)
    actual = load_balancing_loss(padded, jnp.asarray(is_token), number)
    assert_close(actual, balancing(logits, tokens, number), tolerance)
    everything = list(np.ndindex(BATCH, LENGTH))
    assert_close(
        load_balancing_loss(logits, experts_per_token=number),
        balancing(logits, everything, number),
        tolerance,
    )


def test_padding_has_no_gradient_in_the_balancing_loss(logits):
    is_token = jnp.ones((BATCH, LENGTH), bool).at[1].set(False)
    gradient = jax.grad(load_balancing_loss)(logits, is_token)
    assert (jnp.abs(gradient[0]) > 0).any()
    np.testing.assert_array_equal(gradient[1], 0)


def test_all_padding_has_the_balancing_loss_0(logits):
    assert load_balancing_loss(logits, jnp.zeros((BATCH, LENGTH), bool)) == 0
