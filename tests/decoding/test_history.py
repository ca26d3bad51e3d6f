import jax.numpy as jnp
import numpy as np

from flax_transformer.decoding.history import reorder_history, repeat_history
from flax_transformer.functional.cache import Cache


def test_histories_move_with_their_hypotheses_and_the_context_stays():
    """Every row of every leaf is named by its example and its hypothesis."""
    example, length = jnp.arange(5), jnp.int32(7)
    cache = Cache(length, {"a": example, "b": example[:, None] * jnp.ones((5, 2))}, context=example)
    repeated = repeat_history(cache, 3)
    np.testing.assert_array_equal(repeated.history["a"], np.repeat(np.arange(5), 3))

    name = 10 * repeated.history["a"] + jnp.tile(jnp.arange(3), 5)
    named = repeated._replace(history={"a": name, "b": name[:, None] * jnp.ones((15, 2))})
    parents = np.random.default_rng(0).integers(0, 3, (5, 3))
    moved = reorder_history(named, jnp.asarray(parents))
    expected = (10 * np.arange(5)[:, None] + parents).ravel()
    np.testing.assert_array_equal(moved.history["a"], expected)
    np.testing.assert_array_equal(moved.history["b"], np.stack([expected, expected], axis=1))
    assert moved.context is cache.context
    assert moved.length is cache.length
