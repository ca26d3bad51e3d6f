"""What a model that writes token by token reads of a batch, and what it is to predict."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from flax_transformer.data.batches.batch import Batch, TextBatch
from flax_transformer.tasks.translation.shift_right import shift_right


def next_tokens(
    batch: Batch | TextBatch, bos_id: int
) -> tuple[dict[str, Array], Int[Array, "rows length"], Bool[Array, "rows length"]]:
    """Splits a batch into inputs and targets.

    Args:
        batch: pieces of text, or sentence pairs.
        bos_id: id of the begin mark, which precedes a translation.

    Returns:
        The arguments of the model; the token to predict at each place, given those before it; and
        False at padding.
    """
    if isinstance(batch, TextBatch):
        tokens, segments = map(jnp.asarray, batch)
        inputs = {"tokens": tokens[:, :-1], "segments": segments[:, :-1]}
        return inputs, tokens[:, 1:], segments[:, 1:] != 0
    source, target, source_segments, target_segments = map(jnp.asarray, batch)
    inputs = {
        "source": source,
        "target": shift_right(target, target_segments, bos_id),
        "source_segments": source_segments,
        "target_segments": target_segments,
    }
    return inputs, target, target_segments != 0
