"""The encoder-decoder Transformer of "Attention Is All You Need"."""

import dataclasses
from typing import Any, ClassVar

import flax.linen as nn
from jaxtyping import Array, Float, Int

from flax_transformer.functional.cache import Cache, Written, lay_down, read_all
from flax_transformer.functional.layout import Layout, lay_out
from flax_transformer.functional.masks import padding_mask
from flax_transformer.functional.segments import segment_mask, token_segments
from flax_transformer.models.caching import lay_out_next, make_cache
from flax_transformer.models.depth import (
    finish,
    make_last_norm,
    make_layers,
    pass_through,
    pass_through_encoder,
)
from flax_transformer.models.model_config import TransformerConfig
from flax_transformer.modules.dropout_module import Dropout
from flax_transformer.modules.layers import DecoderLayer, EncoderLayer
from flax_transformer.modules.multi_head_attention import KeyValue
from flax_transformer.modules.token_embedding import (
    PositionalEmbedding,
    TokenEmbedding,
    table_deviation,
)


@dataclasses.dataclass(frozen=True)
class EncoderDecoderConfig(TransformerConfig):
    """Sizes and choices of an encoder-decoder Transformer; the defaults are the paper's base."""

    reads: ClassVar[str] = "tokens"
    gives: ClassVar[str] = "target_tokens"

    num_encoder_layers: int = 6
    """Layers of the encoder."""
    num_decoder_layers: int = 6
    """Layers of the decoder."""

    def build(self, *, vocab_size: int) -> "EncoderDecoder":
        """Makes the model for a joint vocabulary of so many tokens."""
        return EncoderDecoder(self, vocab_size)


class EncoderDecoder(nn.Module):
    """Maps a source and the beginning of a target to the target's next tokens.

    Tokens are embedded by one matrix, which also makes the logits. Id 0 is padding.

    The variables of layers are named encoder_0, encoder_1, ..., decoder_0, ...; with
    `config.scan_layers` they are encoder and decoder, each array with a leading axis of layers, and
    so are weights that are looked at in the collection "attention"; see `models.stack_layers`.

    Attributes:
        config: sizes and choices.
        vocab_size: number of tokens of the joint vocabulary.

    Reference:
        Vaswani et al. 2017, section 3 and figure 1.
    """

    config: EncoderDecoderConfig
    vocab_size: int

    def setup(self) -> None:
        """Creates embeddings and layers."""
        config = self.config
        self.embedding = TokenEmbedding(
            self.vocab_size, config.d_model, config.embedding_scaling, config.dtype
        )
        places = (
            config.positions,
            config.max_positions,
            table_deviation(config.embedding_scaling),
        )
        self.source_positions = PositionalEmbedding(*places)
        self.target_positions = PositionalEmbedding(*places)
        self.embedding_dropout = Dropout(config.residual_dropout_rate)
        self.encoder = make_layers(EncoderLayer, config, config.num_encoder_layers)
        self.decoder = make_layers(DecoderLayer, config, config.num_decoder_layers)
        self.encoder_norm = make_last_norm(config)
        self.decoder_norm = make_last_norm(config)

    def __call__(
        self,
        source: Int[Array, "batch source_length"],
        target: Int[Array, "batch target_length"],
        *,
        source_segments: Int[Array, "batch source_length"] | None = None,
        target_segments: Int[Array, "batch target_length"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch target_length vocab"]:
        """Scores the next token after every position of the target.

        The arguments are those of `represent`.

        Returns:
            Logits of the token after each target position.
        """
        hidden = self.represent(
            source,
            target,
            source_segments=source_segments,
            target_segments=target_segments,
            deterministic=deterministic,
        )
        return self.embedding.logits(hidden)

    def represent(
        self,
        source: Int[Array, "batch source_length"],
        target: Int[Array, "batch target_length"],
        *,
        source_segments: Int[Array, "batch source_length"] | None = None,
        target_segments: Int[Array, "batch target_length"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch target_length d_model"]:
        """Represents every target position in view of the source and of the target before it.

        Args:
            source: token ids, 0 for padding, which may stand on either side.
            target: token ids that the decoder reads, begin mark first; likewise.
            source_segments: number from 1 of the pair that each token belongs to, 0 for padding,
                where a row holds several pairs.
            target_segments: the same of the target.
            deterministic: no dropout.

        Returns:
            What the logits of the next token are made of.
        """
        memory = self.encode(source, segments=source_segments, deterministic=deterministic)
        if source_segments is None or target_segments is None:
            memory_mask = padding_mask(token_segments(source, 0))
            target_segments = token_segments(target, 0)
        else:
            memory_mask = segment_mask(target_segments, source_segments)
        layout = lay_out(target_segments, causal=True, window=self.config.attention_window)
        x = self._embed_target(target, layout, deterministic)

        def step(layer: DecoderLayer, x: Array, _: None) -> tuple[Array, Any]:
            keys_values = layer.memory_keys_values(memory)
            return layer(x, layout, keys_values, memory_mask, deterministic=deterministic)

        given = [None] * self.config.num_decoder_layers
        x, _ = pass_through(self.decoder, step, x, given, remat=self.config.remat)
        return finish(self.decoder_norm, x, layout, deterministic)

    def encode(
        self,
        source: Int[Array, "batch source_length"],
        *,
        segments: Int[Array, "batch source_length"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch source_length d_model"]:
        """Represents every token of the source in its context.

        Args:
            source: token ids, 0 for padding.
            segments: see `source_segments` of the call.
            deterministic: no dropout.
        """
        config = self.config
        segments = token_segments(source, 0) if segments is None else segments
        layout = lay_out(segments, window=config.attention_window)
        assert layout.positions is not None
        x = self.source_positions(self.embedding(source), layout.positions.query, layout.lengths)
        return pass_through_encoder(
            self.encoder,
            self.encoder_norm,
            self.embedding_dropout(x, deterministic),
            layout,
            num_layers=config.num_encoder_layers,
            remat=config.remat,
            deterministic=deterministic,
        )

    def start(self, source: Int[Array, "batch source_length"], capacity: int) -> Cache:
        """Encodes the source and makes an empty cache for decoding.

        Args:
            source: token ids, 0 for padding.
            capacity: number of target positions, prompt included, the cache has room for.

        Returns:
            A cache for `decode`: history holds which places hold tokens; context holds every
            decoder layer's projection of the source and the source's mask; written holds every
            decoder layer's keys and values.
        """
        memory = self.encode(source)

        def step(layer: DecoderLayer, memory: Array, _: None) -> tuple[Array, Written]:
            return memory, lay_down(*layer.memory_keys_values(memory))

        num_layers = self.config.num_decoder_layers
        _, memories = pass_through(self.decoder, step, memory, [None] * num_layers)
        context = (memories, padding_mask(token_segments(source, 0)))
        return make_cache(self.config, num_layers, source.shape[0], capacity, context)

    def decode(
        self, tokens: Int[Array, "rows new_length"], cache: Cache
    ) -> tuple[Float[Array, "rows new_length vocab"], Cache]:
        """Continues targets by one or several tokens.

        Args:
            tokens: the next token ids of each row, 0 for padding, so that prompts of different
                lengths end together when they are padded on the left; rows is a multiple of the
                cache's batch, see `functional.Cache`.
            cache: from `start` or from the call before.

        Returns:
            Logits of the token after each given one, and the cache for the next call.
        """
        memories, memory_mask = cache.context
        cache, layout = lay_out_next(tokens, cache, self.config.attention_window)
        x = self._embed_target(tokens, layout, True)

        def step(layer: DecoderLayer, x: Array, given: Any) -> tuple[Array, Any]:
            memory, before = given
            keys_values = KeyValue(*read_all(memory))
            return layer(
                x, layout, keys_values, memory_mask, written=before, written_length=cache.length
            )

        given = list(zip(memories, cache.written, strict=True))
        x, written = pass_through(self.decoder, step, x, given)
        cache = cache._replace(length=cache.length + tokens.shape[1], written=written)
        return self.embedding.logits(finish(self.decoder_norm, x, layout, True)), cache

    def _embed_target(self, tokens: Array, layout: Layout, deterministic: bool) -> Array:
        assert layout.positions is not None
        # A target grows while it is decoded, so its own length is not yet known.
        x = self.target_positions(self.embedding(tokens), layout.positions.query)
        return self.embedding_dropout(x, deterministic)
