"""A cache's history follows its hypotheses; what is large in it stays where it is."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from flax_transformer.functional.cache import Cache, Written


def repeat_history(cache: Cache, num_hypotheses: int) -> Cache:
    """Makes `num_hypotheses` adjacent rows of every row.

    Args:
        cache: of one row an example.
        num_hypotheses: hypotheses of one example.

    Returns:
        The cache with history leaves [batch * num_hypotheses, ...], and all places written once
        for each member.

    Example:
        >>> cache = Cache(jnp.int32(0), history=jnp.array([3, 5]), context=None)
        >>> repeat_history(cache, 2).history.tolist()
        [3, 3, 5, 5]
    """
    repeat = lambda leaf: jnp.repeat(leaf, num_hypotheses, axis=0)  # noqa: E731
    return cache._replace(
        history=jax.tree.map(repeat, cache.history),
        written=tuple(_repeat_places(written, num_hypotheses) for written in cache.written),
    )


def _repeat_places(written: Written, members: int) -> Written:
    return Written(
        jnp.repeat(written.key, members, axis=3), jnp.repeat(written.value, members, axis=2)
    )


def reorder_history(cache: Cache, parents: Int[Array, "batch beam"]) -> Cache:
    """Gives every hypothesis the history of the one it continues.

    Args:
        cache: of `beam` rows an example.
        parents: [batch, beam], for each new hypothesis the place of its old one, 0 .. beam - 1.

    Returns:
        The cache with its history reordered along axis 0; what is written stays, and the lineage
        says who wrote it.

    Example:
        >>> cache = Cache(jnp.int32(1), history=jnp.array([3, 5, 7, 11]), context=None)
        >>> reorder_history(cache, jnp.array([[1, 1], [0, 1]])).history.tolist()
        [5, 5, 7, 11]
    """
    batch, beam = parents.shape
    rows = (beam * jnp.arange(batch)[:, None] + parents).ravel()
    # Parents are in range by construction; "clip" spares the masking of jnp.take's default mode.
    take = lambda leaf: jnp.take(leaf, rows, axis=0, mode="clip")  # noqa: E731
    cache = cache._replace(history=jax.tree.map(take, cache.history))
    if not cache.written:
        return cache
    capacity = cache.written[0].value.shape[2] // beam
    own = jnp.broadcast_to(jnp.tile(jnp.arange(beam), batch)[:, None], (batch * beam, capacity))
    lineage = own if cache.lineage is None else cache.lineage
    # What is not yet written, every row will write itself.
    is_written = jnp.arange(capacity) < cache.length
    return cache._replace(lineage=jnp.where(is_written, take(lineage), own))


def select_examples(cache: Cache, examples: Int[Array, " chosen"], num_hypotheses: int) -> Cache:
    """Keeps some examples with all of their hypotheses.

    Args:
        cache: of `num_hypotheses` rows an example.
        examples: [chosen], which to keep, 0 .. batch - 1.
        num_hypotheses: hypotheses of one example.

    Returns:
        The cache of only these examples, in the order given.

    Example:
        >>> cache = Cache(jnp.int32(1), jnp.array([3, 5, 7, 11]), context=jnp.array([13, 17]))
        >>> selected = select_examples(cache, jnp.array([1]), 2)
        >>> selected.history.tolist(), selected.context.tolist()
        ([7, 11], [17])
    """
    rows = (num_hypotheses * examples[:, None] + jnp.arange(num_hypotheses)).ravel()
    moved = (cache.history, cache.lineage)
    shared = (cache.context, cache.written)
    history, lineage = jax.tree.map(lambda leaf: leaf[rows], moved)
    context, written = jax.tree.map(lambda leaf: leaf[examples], shared)
    return Cache(cache.length, history, context, written, lineage)
