"""Scores of heads, compared with loops over queries and keys, and alignments."""

import jax.numpy as jnp
import numpy as np
import pytest

from flax_transformer import inspection

pytestmark = pytest.mark.platforms

TOKENS = np.array([5, 6, 7, 5, 6, 5, 8])
WEIGHTS = np.random.default_rng(0).dirichlet(np.ones(7), (3, 2, 7)).astype(np.float32)


def by_hand(is_key: np.ndarray) -> np.ndarray:
    """The mean weight at the chosen keys over queries that have one."""
    queries = [q for q in range(7) if is_key[q].any()]
    return np.mean([WEIGHTS[..., q, is_key[q]].sum(-1) for q in queries], axis=0)


def test_scores_are_means_of_chosen_weights():
    places = [(q, k) for q in range(7) for k in range(7)]
    previous = np.reshape([k == q - 1 for q, k in places], (7, 7))
    duplicate = np.reshape([k < q and TOKENS[k] == TOKENS[q] for q, k in places], (7, 7))
    induction = np.reshape([0 < k <= q and TOKENS[k - 1] == TOKENS[q] for q, k in places], (7, 7))
    weights, tokens = jnp.asarray(WEIGHTS), jnp.asarray(TOKENS)
    for found, is_key in (
        (inspection.previous_token_score(weights), previous),
        (inspection.duplicate_token_score(weights, tokens), duplicate),
        (inspection.induction_score(weights, tokens), induction),
    ):
        np.testing.assert_allclose(found, by_hand(is_key), rtol=1e-5)
    marks = np.array([True, False, False, True, False, False, False])
    expected = WEIGHTS[..., marks].sum(-1).mean(-1)
    np.testing.assert_allclose(
        inspection.attention_to(weights, jnp.asarray(marks)), expected, rtol=1e-5
    )


def test_without_a_repeated_token_scores_are_zero():
    weights = jnp.asarray(WEIGHTS)
    assert not inspection.duplicate_token_score(weights, jnp.arange(7)).any()
    assert not inspection.induction_score(weights, jnp.arange(7)).any()


@pytest.mark.parametrize(("queries", "keys"), [(7, 7), (4, 7), (7, 3), (1, 5)])
def test_a_diagonal_goes_from_corner_to_corner(queries, keys):
    diagonal = np.zeros((1, queries, keys), np.float32)
    for query in range(queries):
        diagonal[0, query, round(query * (keys - 1) / max(queries - 1, 1))] = 1
    np.testing.assert_allclose(inspection.diagonal_score(jnp.asarray(diagonal)), 1)
    if keys > 1:
        other = jnp.asarray(np.roll(diagonal, 1, axis=-1))
        assert inspection.diagonal_score(other)[0] < 0.5


def test_attention_between_words_keeps_its_sum():
    """Marks are left out, on both sides."""
    found = inspection.word_attention(
        WEIGHTS, np.array([0, 0, 1, 2, 2, 2, -1]), np.array([-1, 0, 1, 1, 2, 3, 3])
    )
    assert found.shape == (3, 2, 3, 4)
    np.testing.assert_allclose(found.sum(-1)[..., 1], WEIGHTS[..., 2, 1:].sum(-1), rtol=1e-5)
    np.testing.assert_allclose(found[..., 2, 1], WEIGHTS[..., 3:6, 2:4].sum(-1).mean(-1), rtol=1e-5)


def test_errors_of_alignments():
    """The example of Och and Ney: possible links may be found, sure ones must be."""
    sure, possible = {(0, 0), (1, 1)}, {(2, 2)}
    assert inspection.alignment_error_rate(sure, sure, possible) == 0
    assert inspection.alignment_error_rate(sure | possible, sure, possible) == 0
    assert inspection.alignment_error_rate(possible, sure, possible) == pytest.approx(2 / 3)
    assert inspection.alignment_error_rate({(5, 5)}, sure) == 1
    assert inspection.alignment_error_rate(set(), set()) == 0
