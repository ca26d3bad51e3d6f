import jax.numpy as jnp
import numpy as np

from flax_transformer.decoding.hypotheses import (
    Hypotheses,
    concatenate,
    take,
    where_example,
)


def numbered(batch: int, num_best: int, start: int = 0) -> Hypotheses:
    """Every hypothesis carries its own number in each of its parts."""
    number = start + jnp.arange(batch * num_best).reshape(batch, num_best)
    tokens = jnp.repeat(number[..., None], 3, axis=2)
    return Hypotheses(tokens, number.astype(jnp.float32), -number.astype(jnp.float32), number)


def test_taking_keeps_the_parts_of_a_hypothesis_together():
    hypotheses = concatenate(numbered(2, 3), numbered(2, 5, start=100))
    taken = take(hypotheses, jnp.array([[7, 0], [2, 3]]))
    expected = np.array([[104, 0], [5, 105]])
    np.testing.assert_array_equal(taken.lengths, expected)
    np.testing.assert_array_equal(taken.scores, expected)
    np.testing.assert_array_equal(taken.log_probs, -expected)
    np.testing.assert_array_equal(taken.tokens, np.repeat(expected[..., None], 3, axis=2))


def test_each_example_comes_from_one_side():
    a, b = numbered(3, 2), numbered(3, 2, start=100)
    mixed = where_example(jnp.array([True, False, True]), a, b)
    np.testing.assert_array_equal(mixed.lengths, [[0, 1], [102, 103], [4, 5]])
    np.testing.assert_array_equal(mixed.tokens[:, :, 0], [[0, 1], [102, 103], [4, 5]])
