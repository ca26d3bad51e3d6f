import jax.numpy as jnp
import numpy as np

from flax_transformer.decoding.history import reorder_history, repeat_history
from flax_transformer.functional.cache import Cache, lay_down, read_own


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


def test_what_is_written_stays_and_the_lineage_follows_the_hypotheses():
    """A place is told by who wrote it, in two steps after a prompt of two positions."""
    batch, beam, capacity = 2, 3, 5
    once = lay_down(*np.random.default_rng(0).normal(size=(2, batch, capacity, 7, 11)))
    cache = repeat_history(Cache(jnp.int32(2), None, None, written=(once,)), beam)
    for actual, expected in zip(read_own(cache.written[0], beam), read_own(once, 1), strict=True):
        np.testing.assert_array_equal(actual, np.repeat(expected, beam, axis=0))
    assert cache.lineage is None
    before = cache.written
    writers = np.tile(np.arange(beam), batch)[:, None] * np.ones((1, 2), int)
    for length in (3, 4):
        writers = np.concatenate([writers, np.tile(np.arange(beam), batch)[:, None]], axis=1)
        parents = np.random.default_rng(length).integers(0, beam, (batch, beam))
        cache = cache._replace(length=jnp.int32(length))
        cache = reorder_history(cache, jnp.asarray(parents))
        assert cache.lineage is not None
        writers = writers[(beam * np.arange(batch)[:, None] + parents).ravel()]
        np.testing.assert_array_equal(cache.lineage[:, :length], writers)
        own = np.tile(np.arange(beam), batch)[:, None]
        np.testing.assert_array_equal(
            cache.lineage[:, length:], np.broadcast_to(own, (batch * beam, capacity - length))
        )
    assert cache.written is before
