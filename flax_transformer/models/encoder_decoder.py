"""The encoder-decoder Transformer of "Attention Is All You Need"."""

import dataclasses
from typing import Literal, get_args

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flax_transformer.errors import UserError, unknown
from flax_transformer.functional.cache import Cache
from flax_transformer.functional.masks import causal_mask, padding_mask
from flax_transformer.functional.positional import SCHEMES
from flax_transformer.modules.attention import KeyValue
from flax_transformer.modules.dropout import Dropout
from flax_transformer.modules.embedding import PositionalEmbedding, TokenEmbedding
from flax_transformer.modules.layers import DecoderLayer, EncoderLayer, NormPlacement

ComputeType = Literal["float32", "bfloat16"]


@dataclasses.dataclass(frozen=True)
class EncoderDecoderConfig:
    """Sizes and choices of an encoder-decoder Transformer; the defaults are the paper's base."""

    num_encoder_layers: int = 6
    """Layers of the encoder."""
    num_decoder_layers: int = 6
    """Layers of the decoder."""
    d_model: int = 512
    """Width of embeddings and between layers."""
    d_ff: int = 2048
    """Width of the feed-forward networks' hidden layers."""
    num_heads: int = 8
    """Attention heads in each layer."""
    key_dim: int | None = None
    """Width of a head's queries and keys (d_k); d_model / num_heads if not given."""
    value_dim: int | None = None
    """Width of a head's values (d_v); d_model / num_heads if not given."""
    norm_placement: NormPlacement = "post"
    """Layer normalisation after each residual connection (post, the paper) or before (pre)."""
    positions: str = "sinusoidal"
    """Positional scheme; `flax-transformer list` shows them."""
    max_positions: int = 1024
    """Rows of a learned table of positions; other schemes have no such limit."""
    residual_dropout_rate: float = 0.1
    """Dropout of the embeddings and of each sublayer's output."""
    attention_dropout_rate: float = 0.0
    """Dropout of the attention weights."""
    feed_forward_dropout_rate: float = 0.0
    """Dropout of the feed-forward networks' hidden layers."""
    dtype: ComputeType = "float32"
    """Type of the computation; parameters and optimizer state stay float32."""

    def __post_init__(self) -> None:
        """Refuses sizes that no model can have."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_rate"):
                if not 0 <= value < 1:
                    raise UserError(f"model.{field.name} must be in [0, 1), not {value}")
            elif isinstance(value, int) and value < 1:
                raise UserError(f"model.{field.name} must be at least 1, not {value}")
        if None in (self.key_dim, self.value_dim) and self.d_model % self.num_heads:
            raise UserError(
                f"model.d_model {self.d_model} is no multiple of model.num_heads "
                f"{self.num_heads}: change one, or give key_dim and value_dim"
            )
        if self.positions not in SCHEMES:
            raise unknown("positional scheme", self.positions, SCHEMES)
        for name, choices in (("norm_placement", NormPlacement), ("dtype", ComputeType)):
            if getattr(self, name) not in get_args(choices):
                raise unknown(f"model.{name}", getattr(self, name), get_args(choices))

    def head_dims(self) -> tuple[int, int]:
        """The widths of a head's keys and of its values."""
        per_head = self.d_model // self.num_heads
        return self.key_dim or per_head, self.value_dim or per_head


class EncoderDecoder(nn.Module):
    """Maps a source and the beginning of a target to the target's next tokens.

    Tokens are embedded by one matrix, which also makes the logits. Id 0 is padding.

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
        self.embedding = TokenEmbedding(self.vocab_size, config.d_model, config.dtype)
        self.source_positions = PositionalEmbedding(config.positions, config.max_positions)
        self.target_positions = PositionalEmbedding(config.positions, config.max_positions)
        self.embedding_dropout = Dropout(config.residual_dropout_rate)
        layer = {
            name: getattr(config, name)
            for name in (
                "num_heads",
                "d_model",
                "d_ff",
                "key_dim",
                "value_dim",
                "norm_placement",
                "residual_dropout_rate",
                "attention_dropout_rate",
                "feed_forward_dropout_rate",
                "dtype",
            )
        }
        self.encoder = [EncoderLayer(**layer) for _ in range(config.num_encoder_layers)]
        self.decoder = [DecoderLayer(**layer) for _ in range(config.num_decoder_layers)]
        if config.norm_placement == "pre":
            # Pre-norm layers leave their sum unnormalised, so each stack ends in one more norm.
            self.encoder_norm = nn.LayerNorm(dtype=config.dtype)
            self.decoder_norm = nn.LayerNorm(dtype=config.dtype)

    def __call__(
        self,
        source: Int[Array, "batch source_length"],
        target: Int[Array, "batch target_length"],
        *,
        deterministic: bool = True,
    ) -> Float[Array, "batch target_length vocab"]:
        """Scores the next token after every position of the target.

        Args:
            source: token ids, 0 for padding.
            target: token ids that the decoder reads, begin mark first.
            deterministic: no dropout.

        Returns:
            Logits of the token after each target position.
        """
        memory = self.encode(source, deterministic=deterministic)
        x = self._embed(target, self.target_positions, 0, deterministic)
        mask = causal_mask(target.shape[1])[None]
        for layer in self.decoder:
            x, _ = layer(
                x,
                mask,
                layer.memory_keys_values(memory),
                padding_mask(source),
                deterministic=deterministic,
            )
        return self._logits(x)

    def encode(
        self, source: Int[Array, "batch source_length"], *, deterministic: bool = True
    ) -> Float[Array, "batch source_length d_model"]:
        """Represents every token of the source in its context."""
        x = self._embed(source, self.source_positions, 0, deterministic)
        mask = padding_mask(source)
        for layer in self.encoder:
            x = layer(x, mask, deterministic=deterministic)
        return self.encoder_norm(x) if self.config.norm_placement == "pre" else x

    def start(self, source: Int[Array, "batch source_length"], capacity: int) -> Cache:
        """Encodes the source and makes an empty cache for decoding.

        Args:
            source: token ids, 0 for padding.
            capacity: number of target positions, prompt included, the cache has room for.

        Returns:
            A cache for `decode`: context holds every decoder layer's projection of the source and
            the source's mask.
        """
        memory = self.encode(source)
        context = (
            tuple(layer.memory_keys_values(memory) for layer in self.decoder),
            padding_mask(source),
        )
        shape = (source.shape[0], capacity, self.config.num_heads)
        key_dim, value_dim = self.config.head_dims()
        empty = KeyValue(
            jnp.zeros((*shape, key_dim), self.config.dtype),
            jnp.zeros((*shape, value_dim), self.config.dtype),
        )
        return Cache(jnp.int32(0), (empty,) * self.config.num_decoder_layers, context)

    def decode(
        self, tokens: Int[Array, "rows new_length"], cache: Cache
    ) -> tuple[Float[Array, "rows new_length vocab"], Cache]:
        """Continues targets by one or several tokens.

        Args:
            tokens: the next token ids of each row; rows is a multiple of the cache's batch, see
                `functional.Cache`.
            cache: from `start` or from the call before.

        Returns:
            Logits of the token after each given one, and the cache for the next call.
        """
        memories, memory_mask = cache.context
        x = self._embed(tokens, self.target_positions, cache.length, True)
        mask = causal_mask(tokens.shape[1], cache.history[0].key.shape[1], cache.length)[None]
        history = []
        for layer, memory, past in zip(self.decoder, memories, cache.history, strict=True):
            x, keys_values = layer(
                x, mask, memory, memory_mask, history=past, history_length=cache.length
            )
            history.append(keys_values)
        length = cache.length + tokens.shape[1]
        return self._logits(x), Cache(length, tuple(history), cache.context)

    def _embed(self, tokens, positions, first, deterministic):
        return self.embedding_dropout(positions(self.embedding(tokens), first), deterministic)

    def _logits(self, x):
        x = self.decoder_norm(x) if self.config.norm_placement == "pre" else x
        return self.embedding.logits(x)
