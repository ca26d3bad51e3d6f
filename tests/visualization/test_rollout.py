import numpy as np
import pytest

from flax_transformer.visualization.attention_rollout import attention_rollout

LAYERS, HEADS, LENGTH = 3, 5, 7


@pytest.fixture
def weights():
    return np.random.default_rng(0).dirichlet(np.ones(LENGTH), (LAYERS, HEADS, LENGTH))


def test_it_is_the_sum_over_all_paths(weights):
    """Of every path from a position back to an input, the product of its shares."""
    rolls = attention_rollout(weights)
    for position in range(LENGTH):
        reached = np.eye(LENGTH)[position]
        for layer in (1, 0):
            passed = np.zeros(LENGTH)
            for source in range(LENGTH):
                share = sum(weights[layer, head, source] for head in range(HEADS)) / HEADS
                passed += reached[source] * (0.5 * share + 0.5 * np.eye(LENGTH)[source])
            reached = passed
        np.testing.assert_allclose(rolls[1, position], reached, rtol=1e-12)


def test_shares_of_all_inputs_sum_to_one_even_where_nothing_may_be_attended_to(weights):
    weights[1, :, 2] = 0
    np.testing.assert_allclose(attention_rollout(weights).sum(axis=-1), 1, rtol=1e-12)


def test_a_causal_model_reaches_no_later_input(weights):
    causal = np.tril(weights)
    causal /= causal.sum(axis=-1, keepdims=True)
    rolls = attention_rollout(causal)
    assert not np.triu(rolls, 1).any()
    assert (np.tril(rolls) > 0).sum() == LAYERS * LENGTH * (LENGTH + 1) // 2
