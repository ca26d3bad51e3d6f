"""The encoder-decoder Transformer of "Attention Is All You Need"."""

import dataclasses
import functools
from typing import ClassVar

import flax.linen as nn
from jaxtyping import Array, Bool, Float, Int

from flax_transformer.functional.cache import Cache, Written, lay_down
from flax_transformer.functional.layout import lay_out, segment_mask
from flax_transformer.models.decoder_only import decode_next, decode_whole
from flax_transformer.models.layer_stack import (
    Layouts,
    all_one,
    any_of,
    encode_whole,
    finish,
    lay_out_next,
    lay_out_windows,
    make_cache,
    make_embedding,
    make_last_norm,
    make_layers,
    make_position_table,
    make_positions,
    pass_through,
)
from flax_transformer.modules.layer_options import TransformerConfig
from flax_transformer.modules.layers import DecoderLayer, EncoderLayer
from flax_transformer.modules.norms import Dropout, make_norm
from flax_transformer.modules.observe import observe


@dataclasses.dataclass(frozen=True)
class EncoderDecoderConfig(TransformerConfig):
    """Sizes and options of an encoder-decoder Transformer; the defaults are the paper's base."""

    reads: ClassVar[str] = "tokens"
    gives: ClassVar[str] = "target_tokens"

    norm_epsilon: float = 1e-5
    """Added to the variance in a normalization; Marian, Pegasus and BART have this value too."""
    num_encoder_layers: int = 6
    """Number of encoder layers."""
    num_decoder_layers: int = 6
    """Number of decoder layers."""

    def build(self, *, vocab_size: int) -> "EncoderDecoder":
        """Makes the model for a joint vocabulary of vocab_size tokens."""
        return EncoderDecoder(self, vocab_size)


class EncoderDecoder(nn.Module):
    """Maps a source and the beginning of a target to the target's next tokens.

    One matrix embeds tokens and computes the logits unless the config says otherwise.

    The variables of the layers are named encoder_0, encoder_1, ..., decoder_0 and so on. With
    `config.scan_layers` they are named encoder and decoder, and all arrays, including observed
    activations, have a leading axis of layers; see `models.stack_layers`. Observed, see
    `modules.observe`: source_token_embedding, source_embedded (with positions), the same of the
    target, and logits.

    Attributes:
        config: sizes and options.
        vocab_size: number of tokens of the joint vocabulary.

    Reference:
        Vaswani et al. 2017, section 3 and figure 1.
    """

    config: EncoderDecoderConfig
    vocab_size: int

    def setup(self) -> None:
        """Creates embeddings and layers."""
        config = self.config
        self.embedding = make_embedding(config, self.vocab_size)
        self.source_positions = make_positions(config)
        self.target_positions = make_positions(config)
        self.source_embedding_norm = make_norm(config) if config.embedding_norm else None
        self.target_embedding_norm = make_norm(config) if config.embedding_norm else None
        self.embedding_dropout = Dropout(config.residual_dropout_rate)
        self.encoder = make_layers(EncoderLayer, config, config.num_encoder_layers)
        self.decoder = make_layers(DecoderLayer, config, config.num_decoder_layers)
        self.encoder_positions = make_position_table(config)
        self.decoder_positions = make_position_table(config)
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
        """Computes the logits of the next token at every position of the target.

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
        return observe(self, "logits", self.embedding.logits(hidden))

    def represent(
        self,
        source: Int[Array, "batch source_length"],
        target: Int[Array, "batch target_length"],
        *,
        source_segments: Int[Array, "batch source_length"] | None = None,
        target_segments: Int[Array, "batch target_length"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch target_length d_model"]:
        """Computes the final hidden state of every target position from the source and the prefix.

        Args:
            source: token ids.
            target: token ids that the decoder reads, begin mark first.
            source_segments: number of the pair that each token belongs to, counted from 1, and 0
                for padding on either side; None: every row is one source without padding.
            target_segments: the same for the target.
            deterministic: disables dropout.

        Returns:
            Hidden states from which the logits of the next token are computed.
        """
        config = self.config
        memory = self.encode(source, segments=source_segments, deterministic=deterministic)
        segments = all_one(target, target_segments)
        memory_mask = segment_mask(segments, all_one(source, source_segments))
        layouts = lay_out_windows(config, functools.partial(lay_out, segments, causal=True))
        x = self._embed_target(target, layouts, deterministic)
        num_layers = config.num_decoder_layers
        return decode_whole(self, x, layouts, num_layers, deterministic, memory, memory_mask)

    def encode(
        self,
        source: Int[Array, "batch source_length"],
        *,
        segments: Int[Array, "batch source_length"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch source_length d_model"]:
        """Encodes every token of the source in its context.

        Args:
            source: token ids.
            segments: see `source_segments` of the call.
            deterministic: disables dropout.
        """
        config = self.config
        layouts = lay_out_windows(config, functools.partial(lay_out, all_one(source, segments)))
        layout = any_of(layouts)
        assert layout.positions is not None
        x = observe(self, "source_token_embedding", self.embedding(source))
        x = self.source_positions(x, layout.positions.query, layout.lengths)
        x = finish(self.source_embedding_norm, x, layout, deterministic)
        x = observe(self, "source_embedded", self.embedding_dropout(x, deterministic))
        return encode_whole(self, x, layouts, config.num_encoder_layers, deterministic)

    def start(
        self,
        source: Int[Array, "batch source_length"],
        capacity: int,
        *,
        segments: Int[Array, "batch source_length"] | None = None,
    ) -> Cache:
        """Encodes the source and makes an empty cache for decoding.

        Args:
            source: token ids.
            capacity: maximum number of target positions in the cache, including the prompt.
            segments: 1 for tokens of the source, 0 for padding; None: there are only tokens.

        Returns:
            A cache for `decode`: history marks the places with tokens; context contains every
            decoder layer's projection of the source and the source's mask; written contains every
            decoder layer's keys and values.
        """
        memory = self.encode(source, segments=segments)

        def step(layer: DecoderLayer, memory: Array, _: None) -> tuple[Array, Written]:
            return memory, lay_down(*layer.memory_keys_values(memory))

        num_layers = self.config.num_decoder_layers
        _, memories = pass_through(self.decoder, step, memory, [None] * num_layers)
        context = (memories, (all_one(source, segments) != 0)[:, None])
        return make_cache(self.config, num_layers, source.shape[0], capacity, context)

    def decode(
        self,
        tokens: Int[Array, "rows new_length"],
        cache: Cache,
        is_token: Bool[Array, "rows new_length"] | None = None,
    ) -> tuple[Float[Array, "rows new_length vocab"], Cache]:
        """Continues targets by one or several tokens.

        Args:
            tokens: the next token ids of each row; the number of rows is a multiple of the cache's
                batch, see `functional.Cache`.
            cache: cache from `start` or from the previous call.
            is_token: False for padding; prompts of different lengths are padded on the left, so
                that they end together. None: all are tokens.

        Returns:
            Logits of the token after each given one, and the cache for the next call.
        """
        memories, memory_mask = cache.context
        cache, layouts = lay_out_next(self.config, tokens, is_token, cache)
        x = self._embed_target(tokens, layouts, True)
        x, cache = decode_next(self, x, layouts, cache, memories, memory_mask)
        return observe(self, "logits", self.embedding.logits(x)), cache

    def _embed_target(self, tokens: Array, layouts: Layouts, deterministic: bool) -> Array:
        layout = any_of(layouts)
        assert layout.positions is not None
        # A target grows during decoding, so its own length is not yet known.
        x = observe(self, "target_token_embedding", self.embedding(tokens))
        x = self.target_positions(x, layout.positions.query)
        x = finish(self.target_embedding_norm, x, layout, deterministic)
        return observe(self, "target_embedded", self.embedding_dropout(x, deterministic))
