"""Losses with positions that do not count, and with targets that are not tokens."""

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from reference import assert_close

from flax_transformer.functional import (
    embed,
    label_smoothed_cross_entropy,
    learned_positions,
    linear_cross_entropy,
)
from flax_transformer.functional.kernels import chunked_losses
from flax_transformer.functional.losses import SmoothingOver

VOCAB, D_MODEL = 7, 3
TARGETS = np.array([0, 6, 2, 5, 3], np.int32)
COUNTED = np.array([True, False, True, False, True])
WEIGHTS = np.where(COUNTED, [1, 0, 0.5, 0, 2], 0).astype(np.float32)
NO_TOKENS = pytest.mark.parametrize("target", [-1, -100, VOCAB, 2**31 - 1, -(2**31)])
SMOOTHINGS = pytest.mark.parametrize(
    "smoothing", [(0.0, "vocab"), *((0.3, over) for over in get_args(SmoothingOver))], ids=str
)


def whole(hidden, table, targets, weights, *smoothing):
    return label_smoothed_cross_entropy(hidden @ table.T, targets, weights, *smoothing)


def in_chunks(hidden, table, targets, weights, *smoothing):
    return linear_cross_entropy(hidden, table, targets, weights, *smoothing)


@pytest.fixture(scope="module", autouse=True)
def chunks_of_two_rows():
    with pytest.MonkeyPatch.context() as monkeypatch:
        for platform in ("_CPU_CHUNK", "_ACCELERATOR_CHUNK"):
            monkeypatch.setattr(chunked_losses, platform, 2 * VOCAB)
        jax.clear_caches()
        yield
    jax.clear_caches()


LOSSES = pytest.mark.parametrize("loss", [whole, in_chunks])


def value_and_gradients(loss, hidden, table, targets, weights, smoothing):
    """((sum, weight), gradients by hidden, table and weights)."""

    def of_floats(hidden, table, weights):
        return loss(hidden, table, targets, weights, *smoothing)

    return jax.value_and_grad(of_floats, (0, 1, 2), has_aux=True)(hidden, table, weights)


def expected_sum(hidden, table, smoothing):
    """In float64, of the positions that count."""
    logits = np.asarray(hidden, np.float64)[COUNTED] @ np.asarray(table, np.float64).T
    counted = TARGETS[COUNTED], WEIGHTS[COUNTED]
    return reference.label_smoothed_cross_entropy(logits, *counted, *smoothing)


@LOSSES
@SMOOTHINGS
@NO_TOKENS
def test_at_weight_zero_any_target_counts_for_nothing(loss, smoothing, target, normal):
    hidden, table = normal(5, D_MODEL), normal(VOCAB, D_MODEL)
    targets = jnp.asarray(np.where(COUNTED, TARGETS, target).astype(np.int32))
    (total, weight), gradients = value_and_gradients(
        loss, hidden, table, targets, jnp.asarray(WEIGHTS), smoothing
    )
    expected, expected_weight = expected_sum(hidden, table, smoothing)
    assert_close(total, expected, 1e-5)
    assert weight == expected_weight
    _, of_counted = value_and_gradients(
        whole, hidden[COUNTED], table, TARGETS[COUNTED], jnp.asarray(WEIGHTS[COUNTED]), smoothing
    )
    by_hidden, by_table, by_weights = gradients
    assert not by_hidden[~COUNTED].any()
    assert_close(by_hidden[COUNTED], of_counted[0], 1e-5)
    assert_close(by_table, of_counted[1], 1e-5)
    assert_close(by_weights[COUNTED], of_counted[2], 1e-5)
    assert np.isfinite(by_weights).all()


@LOSSES
@SMOOTHINGS
@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_at_weight_zero_hidden_vectors_that_are_not_finite_count_for_nothing(
    loss, smoothing, broken, normal
):
    clean, table = normal(5, D_MODEL), normal(VOCAB, D_MODEL)
    hidden = jnp.where(COUNTED[:, None], clean, broken)
    arguments = table, jnp.asarray(TARGETS), jnp.asarray(WEIGHTS), smoothing
    (total, _), gradients = value_and_gradients(loss, hidden, *arguments)
    (_, _), of_clean = value_and_gradients(loss, clean, *arguments)
    assert_close(total, expected_sum(clean, table, smoothing)[0], 1e-5)
    if loss is in_chunks:
        assert_close(gradients[1], of_clean[1], 1e-5)
    assert not gradients[0][~COUNTED].any()
    assert_close(gradients[0][COUNTED], of_clean[0][COUNTED], 1e-5)


@SMOOTHINGS
def test_at_weight_zero_logits_that_are_not_finite_count_for_nothing(smoothing, normal):
    clean = normal(5, VOCAB)
    logits = jnp.where(COUNTED[:, None], clean, jnp.nan).at[3].set(-jnp.inf)
    gradient = jax.value_and_grad(label_smoothed_cross_entropy, has_aux=True)
    arguments = jnp.asarray(TARGETS), jnp.asarray(WEIGHTS), *smoothing
    jax.tree.map(
        np.testing.assert_array_equal, gradient(logits, *arguments), gradient(clean, *arguments)
    )


@LOSSES
@SMOOTHINGS
@NO_TOKENS
def test_a_target_that_is_no_token_gives_nan_in_the_loss_and_in_its_gradient(
    loss, smoothing, target, normal
):
    hidden, table = normal(5, D_MODEL), normal(VOCAB, D_MODEL)
    targets = jnp.asarray(TARGETS).at[2].set(target)
    (total, _), (by_hidden, by_table, _) = value_and_gradients(
        loss, hidden, table, targets, jnp.asarray(WEIGHTS), smoothing
    )
    assert np.isnan(total)
    assert np.isnan(by_hidden[2]).all()
    assert np.isnan(by_table).all()
    # The other positions are unchanged.
    assert np.isfinite(np.delete(np.asarray(by_hidden), 2, axis=0)).all()


@pytest.mark.parametrize("look_up", [embed, learned_positions])
@pytest.mark.parametrize("index", [-1, -5, 5, 2**31 - 1])
def test_an_index_outside_a_table_gives_nan_and_no_gradient(look_up, index, normal):
    table, ids = normal(5, D_MODEL), jnp.array([3, index], jnp.int32)
    rows, pull = jax.vjp(lambda table: look_up(ids, table), table)
    np.testing.assert_array_equal(rows[0], table[3])
    assert np.isnan(rows[1]).all()
    (gradient,) = pull(jnp.ones_like(rows))
    np.testing.assert_array_equal(gradient, np.zeros((5, D_MODEL)) + (np.arange(5) == 3)[:, None])
