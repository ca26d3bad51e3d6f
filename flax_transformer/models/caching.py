"""What decoders with a key/value cache share: room for what is written, and the next layout."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from flax_transformer.functional.cache import Cache, Written, lineage_mask
from flax_transformer.functional.layout import Layout, lay_out_cached
from flax_transformer.models.model_config import LayerConfig


def make_cache(
    config: LayerConfig, num_layers: int, batch: int, capacity: int, context: object = None
) -> Cache:
    """Makes an empty cache.

    Args:
        config: of the model.
        num_layers: how many layers write keys and values.
        batch: examples.
        capacity: positions of each example that there is room for.
        context: see `functional.Cache`.

    Returns:
        A cache whose history holds which places hold tokens, and whose room is all zeros.
    """
    heads = config.num_key_value_heads or config.num_heads
    key_dim, value_dim = config.head_dims()
    room = Written(
        jnp.zeros((batch, heads, key_dim, capacity), config.dtype),
        jnp.zeros((batch, heads, capacity, value_dim), config.dtype),
    )
    is_token = jnp.zeros((batch, capacity), bool)
    return Cache(jnp.int32(0), is_token, context, (room,) * num_layers)


def lay_out_next(
    tokens: Int[Array, "rows new_length"], cache: Cache, window: int | None
) -> tuple[Cache, Layout]:
    """Counts the next tokens in, and lays them out behind all that were read before.

    Args:
        tokens: the next token ids of each row, 0 for padding.
        cache: from `make_cache` or from the call before.
        window: how many positions a token looks back, itself included; all if None.

    Returns:
        The cache whose history includes the new tokens; its length and what is written are still
        those from before, as the layers need them. And the layout, whose mask is that of
        `lineage_mask` once hypotheses have moved.
    """
    rows, new_length = tokens.shape
    is_token = jax.lax.dynamic_update_slice_in_dim(cache.history, tokens != 0, cache.length, axis=1)
    layout = lay_out_cached(is_token, cache.length, new_length, window=window)
    if cache.lineage is not None:
        batch = cache.written[0].value.shape[0]
        assert layout.mask is not None
        mask = lineage_mask(layout.mask, cache.lineage, rows // batch)
        layout = layout._replace(mask=mask)
    return cache._replace(history=is_token), layout
