"""A cache's history follows its hypotheses; its context, shared by them, stays where it is."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from flax_transformer.functional.cache import Cache


def repeat_history(cache: Cache, num_hypotheses: int) -> Cache:
    """Gives every row's history to `num_hypotheses` adjacent rows.

    Args:
        cache: history leaves [batch, ...].
        num_hypotheses: hypotheses of one example.

    Returns:
        The cache with history leaves [batch * num_hypotheses, ...].

    Example:
        >>> cache = Cache(jnp.int32(0), history=jnp.array([3, 5]), context=None)
        >>> repeat_history(cache, 2).history.tolist()
        [3, 3, 5, 5]
    """
    repeat = lambda leaf: jnp.repeat(leaf, num_hypotheses, axis=0)  # noqa: E731
    return cache._replace(history=jax.tree.map(repeat, cache.history))


def reorder_history(cache: Cache, parents: Int[Array, "batch beam"]) -> Cache:
    """Gives every hypothesis the history of the one it continues.

    Args:
        cache: history leaves [batch * beam, ...].
        parents: [batch, beam], for each new hypothesis the place of its old one, 0 .. beam - 1.

    Returns:
        The cache with its history reordered along axis 0.

    Example:
        >>> cache = Cache(jnp.int32(1), history=jnp.array([3, 5, 7, 11]), context=None)
        >>> reorder_history(cache, jnp.array([[1, 1], [0, 1]])).history.tolist()
        [5, 5, 7, 11]
    """
    batch, beam = parents.shape
    rows = (beam * jnp.arange(batch)[:, None] + parents).ravel()
    # Parents are in range by construction; "clip" spares the masking of jnp.take's default mode.
    take = lambda leaf: jnp.take(leaf, rows, axis=0, mode="clip")  # noqa: E731
    return cache._replace(history=jax.tree.map(take, cache.history))
