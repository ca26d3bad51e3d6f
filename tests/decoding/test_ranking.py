import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_transformer.functional.ranking import argmax, top_k


def check(values: np.ndarray, k: int) -> None:
    """What a stable sort in NumPy puts first, and what JAX finds."""
    expected = np.argsort(-values, axis=-1, kind="stable")[..., :k]
    best, places = jax.jit(top_k, static_argnums=1)(jnp.asarray(values), k)
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_array_equal(best, np.take_along_axis(values, expected, axis=-1))
    for found, plain in zip((best, places), jax.lax.top_k(values, k), strict=True):
        np.testing.assert_array_equal(found, plain)


@pytest.mark.parametrize(
    ("vocab", "k"),
    # Whole blocks alone and blocks with a rest, one row of each block, hardly any blocks, none.
    [(8000, 4), (7993, 5), (4096, 1), (523, 11), (97, 89), (17, 17), (5, 1), (1, 1)],
)
def test_the_largest_are_those_of_a_stable_sort(vocab, k):
    rng = np.random.default_rng(vocab)
    distinct = rng.permuted(np.arange(3 * vocab, dtype=np.float32).reshape(3, vocab), axis=1)
    many_ties = rng.integers(-1, 2, (3, vocab)).astype(np.float32)
    mostly_absent = np.where(rng.random((3, vocab)) < 1 - 3 / vocab, -np.inf, many_ties)
    for values in (distinct, many_ties, mostly_absent, np.full((3, vocab), -np.inf)):
        check(values.astype(np.float32), k)


def test_the_largest_may_all_lie_in_one_block_or_behind_the_last_whole_one():
    for first in (0, 512, 7986):
        values = np.zeros((2, 3, 7993), np.float32)
        values[:, :, first : first + 7] = np.arange(7)
        check(values, 5)
        check(-values, 5)


def test_a_row_of_nan_disturbs_no_other():
    values = np.random.default_rng(0).normal(size=(2, 1009)).astype(np.float32)
    alone = top_k(jnp.asarray(values[0]), 3)
    values[1] = np.nan
    best, places = top_k(jnp.asarray(values), 3)
    np.testing.assert_array_equal(best[0], alone[0])
    np.testing.assert_array_equal(places[0], alone[1])


@pytest.mark.parametrize("vocab", [8000, 7993, 523, 3, 1])
def test_the_largest_is_the_first_of_equal_ones(vocab):
    rng = np.random.default_rng(vocab)
    distinct = rng.normal(size=(2, 3, vocab)).astype(np.float32)
    many_ties = rng.integers(-1, 2, (2, 3, vocab)).astype(np.float32)
    for values in (distinct, many_ties, -distinct, np.full((2, 3, vocab), -np.inf, np.float32)):
        places = jax.jit(argmax)(jnp.asarray(values))
        np.testing.assert_array_equal(places, values.argmax(axis=-1))
