"""Where a model looked while it read a text, or wrote what a search has found."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from flax_transformer.data.tokens.tokenizer import BOS, EOS, PAD, Tokenizer
from flax_transformer.decoding.hypotheses import Hypotheses
from flax_transformer.errors import UserError
from flax_transformer.models.attention_weights import attention_weights
from flax_transformer.models.decoder_only import DecoderOnly
from flax_transformer.models.encoder_decoder import EncoderDecoder


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
    model: EncoderDecoder | DecoderOnly,
    variables: Mapping[str, Any],
    source: Int[Array | np.ndarray, "batch source_length"],
    hypotheses: Hypotheses,
) -> list[HypothesisAttention]:
    """Computes where a model looked as it wrote the best hypothesis of each example.

    One pass over the source and the tokens found. What cached decoding computed for the hypothesis
    that won is the same, whatever the search, for it never depends on the others.

    Args:
        model: that the hypotheses are of.
        variables: of the model.
        source: what it translated, or without an encoder the prompt; token ids, 0 for padding on
            either side.
        hypotheses: of any search from `decoding`; of an encoder-decoder, after the begin mark.

    Returns:
        The attention of each example.

    Raises:
        UserError: if the model's attention is cuDNN's, which never holds the weights.

    Example:
        >>> from flax_transformer.models import DecoderOnlyConfig
        >>> config = DecoderOnlyConfig(num_layers=2, d_model=6, d_ff=5, num_heads=3)
        >>> model, prompt = DecoderOnly(config, vocab_size=7), jnp.array([[0, 1, 5]])
        >>> variables = model.init(jax.random.key(0), prompt)
        >>> score = jnp.zeros((1, 1))
        >>> found = Hypotheses(jnp.array([[[3, 4, 2, 0]]]), score, score, jnp.array([[3]]))
        >>> (attention,) = hypothesis_attention(model, variables, prompt, found)
        >>> attention.read.tolist(), attention.weights["decoder"].shape
        ([1, 5, 3, 4], (2, 3, 4, 4))
    """
    source = jnp.asarray(source)
    tokens, lengths = hypotheses.tokens[:, 0], hypotheses.lengths[:, 0]
    has_encoder = isinstance(model, EncoderDecoder)
    prompt = jnp.full((len(source), 1), BOS, source.dtype) if has_encoder else source
    is_read = jnp.arange(tokens.shape[1] - 1) < lengths[:, None] - 1
    read = jnp.concatenate([prompt, jnp.where(is_read, tokens[:, :-1], PAD)], axis=1)
    inputs = (source, read) if has_encoder else (read,)
    weights = jax.tree.map(np.asarray, attention_weights(model, variables, *inputs))
    in_source = np.asarray(source != PAD)
    in_read = np.asarray(jnp.concatenate([prompt != PAD, is_read], axis=1))
    rows = zip(np.asarray(source), in_source, np.asarray(read), in_read, strict=True)
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


def encode_text(
    tokenizer: Tokenizer, name: str, text: str, max_length: int | None, *, begin: bool, end: bool
) -> Int[Array, " length"]:
    """Gives the ids of a text to look at, which is shown whole or not at all.

    Args:
        tokenizer: of the model.
        name: of the text, as the user knows it.
        text: any but a blank one.
        max_length: tokens that the model reads; None: any number.
        begin: whether the begin mark stands before it.
        end: whether the end mark stands behind it.

    Raises:
        UserError: if the text is blank or too long.
    """
    if not text.strip():
        raise UserError(f"{name} is blank: give one to look at")
    ids = [BOS] * begin + tokenizer.encode(text) + [EOS] * end
    if max_length is not None and len(ids) > max_length:
        raise UserError(
            f"{name} has {len(ids)} tokens, but the model reads {max_length}: give a shorter one"
        )
    return jnp.asarray(ids, jnp.int32)
