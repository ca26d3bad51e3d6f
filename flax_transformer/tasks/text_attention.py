"""Where a model looked while it read a text, or wrote what a search has found."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.decoding.hypotheses import Hypotheses
from flax_transformer.models.attention_weights import attention_weights
from flax_transformer.tasks.task import Model, Variables


class HypothesisAttention(NamedTuple):
    """Attention of one example, without padding.

    Attributes:
        weights: of each part; "encoder" [source, source] and "cross" [read, source] only if there
            is a source, "decoder" [read, read].
        source: tokens of the source; none without an encoder.
        read: tokens that the decoder read: the begin mark or the prompt, then all tokens of the
            hypothesis but the last, which nothing reads. The row of each shows where the decoder
            looked as it wrote the next one.
    """

    weights: dict[str, Float[np.ndarray, "layers heads query_length key_length"]]
    source: Int[np.ndarray, " source_length"]
    read: Int[np.ndarray, " read_length"]


def hypothesis_attention(
    model: Model,
    variables: Variables,
    tokenizer: Tokenizer,
    source: Int[Array | np.ndarray, "batch source_length"],
    hypotheses: Hypotheses,
) -> list[HypothesisAttention]:
    """Computes where a model looked as it wrote the best hypothesis of each example.

    One pass over the source and the tokens found. Cached decoding computed the same for the
    hypothesis that won, whatever the search, for it never depends on the others.

    Args:
        model: an encoder-decoder or a decoder.
        variables: of the model.
        tokenizer: with the ids of the begin mark and of padding.
        source: what it translated, or without an encoder the prompt; token ids, padded on either
            side.
        hypotheses: of any search from `decoding`; of an encoder-decoder, after the begin mark.

    Returns:
        The attention of each example.
    """
    source = jnp.asarray(source)
    in_source = source != tokenizer.pad_id
    tokens, lengths = hypotheses.tokens[:, 0], hypotheses.lengths[:, 0]
    has_encoder = model.config.gives == "target_tokens"
    prompt = jnp.full((len(source), 1), tokenizer.bos_id) if has_encoder else source
    in_prompt = jnp.ones_like(prompt, bool) if has_encoder else in_source
    is_read = jnp.arange(tokens.shape[1] - 1) < lengths[:, None] - 1
    written = jnp.where(is_read, tokens[:, :-1], tokenizer.pad_id)
    read = jnp.concatenate([prompt.astype(source.dtype), written], axis=1)
    in_read = jnp.concatenate([in_prompt, is_read], axis=1)
    segments = in_read.astype(jnp.int32)
    if has_encoder:
        of_source = in_source.astype(jnp.int32)
        options = {"source_segments": of_source, "target_segments": segments}
        weights = attention_weights(model, variables, source, read, **options)
    else:
        weights = attention_weights(model, variables, read, segments=segments)
    weights = jax.tree.map(np.asarray, weights)
    rows = zip(*map(np.asarray, (source, in_source, read, in_read)), strict=True)
    return [
        HypothesisAttention(
            _cut({part: array[:, row] for part, array in weights.items()}, of_source, of_read),
            source_row[of_source] if has_encoder else source_row[:0],
            read_row[of_read],
        )
        for row, (source_row, of_source, read_row, of_read) in enumerate(rows)
    ]


def _cut(
    weights: Mapping[str, np.ndarray],
    in_source: Bool[np.ndarray, " source_length"],
    in_read: Bool[np.ndarray, " read_length"],
) -> dict[str, np.ndarray]:
    """Leaves padding out of one example's weights."""
    sides = {
        "encoder": (in_source, in_source),
        "decoder": (in_read, in_read),
        "cross": (in_read, in_source),
    }
    return {
        part: array[:, :, sides[part][0]][..., sides[part][1]] for part, array in weights.items()
    }
