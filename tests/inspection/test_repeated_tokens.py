"""Rows of random tokens that repeat, and the losses of a model on them, compared with loops."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_transformer.inspection import RepeatedTokens, repeat_losses, repeated_tokens

ROWS, LENGTH, VOCAB = 211, 17, 7


def test_every_row_repeats_with_a_period_of_its_own():
    tokens, is_repeat = map(
        np.asarray, repeated_tokens(jax.random.key(0), ROWS, LENGTH, (3, 5), VOCAB)
    )
    assert tokens.shape == is_repeat.shape == (ROWS, LENGTH)
    periods = LENGTH - is_repeat.sum(axis=1)
    assert set(periods.tolist()) == {3, 4, 5}
    for row, repeats, period in zip(tokens, is_repeat, periods, strict=True):
        assert not repeats[:period].any()
        assert (row[period:] == row[:-period]).all()


def test_new_tokens_are_drawn_from_the_whole_vocabulary():
    tokens, _ = repeated_tokens(jax.random.key(1), ROWS, LENGTH, (LENGTH, LENGTH), VOCAB)
    counts = np.bincount(np.ravel(tokens), minlength=VOCAB)
    assert len(counts) == VOCAB
    np.testing.assert_allclose(counts / counts.sum(), 1 / VOCAB, atol=0.02)


@pytest.mark.parametrize("periods", [(0, 3), (4, 3), (3, LENGTH + 1)])
def test_impossible_periods_are_refused(periods):
    with pytest.raises(ValueError, match="periods"):
        repeated_tokens(jax.random.key(0), 2, LENGTH, periods, VOCAB)


def given_logits(logits: np.ndarray) -> types.SimpleNamespace:
    """A model that gives these logits."""
    return types.SimpleNamespace(apply=lambda variables, tokens: jnp.asarray(logits))


def test_losses_are_means_over_new_and_over_repeated_tokens():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 6, VOCAB)).astype(np.float32)
    tokens = rng.integers(0, VOCAB, (2, 7))
    is_repeat = np.arange(7) >= np.array([[3], [5]])
    found = repeat_losses(
        given_logits(logits), {}, RepeatedTokens(jnp.asarray(tokens), jnp.asarray(is_repeat))
    )
    wide = logits.astype(np.float64)
    losses = (
        np.log(np.exp(wide).sum(-1)) - np.take_along_axis(wide, tokens[:, 1:, None], -1)[..., 0]
    )
    expected = [losses[~is_repeat[:, 1:]].mean(), losses[is_repeat[:, 1:]].mean()]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_loss_of_no_tokens_is_zero():
    repeated = repeated_tokens(jax.random.key(0), 2, 7, (7, 7), VOCAB)
    new, again = repeat_losses(given_logits(np.zeros((2, 6, VOCAB), np.float32)), {}, repeated)
    assert float(new) == pytest.approx(np.log(VOCAB))
    assert float(again) == 0
