import jax.numpy as jnp
import numpy as np

from flax_transformer.decoding.hypotheses import reorder_history, repeat_history, select_examples
from flax_transformer.functional.cache import Cache, Written, lay_down, read_own


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


def test_selected_examples_keep_all_that_is_theirs():
    """Whatever an example or one of its rows has in a cache tells which one it is."""
    batch, beam, capacity = 5, 3, 2
    name = jnp.arange(batch)
    rows = 10 * jnp.repeat(name, beam) + jnp.tile(jnp.arange(beam), batch)
    room = name[:, None, None, None] * jnp.ones((1, 1, 7, capacity * beam))
    cache = Cache(
        jnp.int32(1),
        history={"a": rows},
        context=(name, name[:, None]),
        written=(Written(room, room.swapaxes(2, 3)),),
        lineage=jnp.tile(rows[:, None], (1, capacity)),
    )
    examples = np.array([4, 1])
    selected = select_examples(cache, jnp.asarray(examples), beam)
    expected = (10 * examples[:, None] + np.arange(beam)).ravel()
    np.testing.assert_array_equal(selected.history["a"], expected)
    np.testing.assert_array_equal(selected.lineage, np.stack([expected] * capacity, axis=1))
    np.testing.assert_array_equal(selected.context[0], examples)
    np.testing.assert_array_equal(selected.context[1][:, 0], examples)
    for leaf, whole in zip(selected.written[0], cache.written[0], strict=True):
        np.testing.assert_array_equal(leaf, np.asarray(whole)[examples])
    assert selected.length is cache.length
    unmoved = select_examples(cache._replace(lineage=None), jnp.asarray(examples), beam)
    assert unmoved.lineage is None
