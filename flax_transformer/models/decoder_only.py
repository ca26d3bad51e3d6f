"""The decoder-only Transformer of GPT-2: a language model."""

import dataclasses
from typing import Any, ClassVar

import flax.linen as nn
from jaxtyping import Array, Float, Int

from flax_transformer.functional.cache import Cache, Written
from flax_transformer.functional.layout import Layout, lay_out
from flax_transformer.functional.segments import token_segments
from flax_transformer.models.caching import lay_out_next, make_cache
from flax_transformer.models.depth import finish, make_last_norm, make_layers, pass_through
from flax_transformer.models.model_config import TransformerConfig
from flax_transformer.modules.dropout_module import Dropout
from flax_transformer.modules.layers import DecoderLayer, NormPlacement
from flax_transformer.modules.token_embedding import (
    EmbeddingScaling,
    PositionalEmbedding,
    TokenEmbedding,
    table_deviation,
)


@dataclasses.dataclass(frozen=True)
class DecoderOnlyConfig(TransformerConfig):
    """Sizes and choices of a decoder-only Transformer; the defaults are the smallest GPT-2."""

    reads: ClassVar[str] = "tokens"
    gives: ClassVar[str] = "next_tokens"

    d_model: int = 768
    """Width of embeddings and between layers."""
    d_ff: int = 3072
    """Width of the feed-forward networks' hidden layers."""
    num_heads: int = 12
    """Attention heads in each layer."""
    attention_bias: bool = True
    """Biases in the projections of attention."""
    norm_placement: NormPlacement = "pre"
    """Normalisation after each residual connection (post) or before (pre, GPT-2)."""
    norm_epsilon: float = 1e-5
    """What a normalisation adds to the variance."""
    activation: str = "gelu_tanh"
    """Function in the feed-forward networks."""
    positions: str = "learned"
    """Positional scheme."""
    embedding_scaling: EmbeddingScaling = "none"
    """Where sqrt(d_model) stands; GPT-2 has it nowhere (none)."""
    attention_dropout_rate: float = 0.1
    """Dropout of the attention weights."""
    num_layers: int = 12
    """Layers."""

    def build(self, *, vocab_size: int) -> "DecoderOnly":
        """Makes the model for a vocabulary of so many tokens."""
        return DecoderOnly(self, vocab_size)


class DecoderOnly(nn.Module):
    """Maps the beginning of a text to its next tokens.

    Tokens are embedded by one matrix, which also makes the logits. Id 0 is padding. The variables
    of layers are named decoder_0, decoder_1, ..., as in `EncoderDecoder`.

    Attributes:
        config: sizes and choices.
        vocab_size: number of tokens.

    Reference:
        Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3.
    """

    config: DecoderOnlyConfig
    vocab_size: int

    def setup(self) -> None:
        """Creates embeddings and layers."""
        config = self.config
        scaling = config.embedding_scaling
        self.embedding = TokenEmbedding(self.vocab_size, config.d_model, scaling, config.dtype)
        self.positions = PositionalEmbedding(
            config.positions, config.max_positions, table_deviation(scaling)
        )
        self.embedding_dropout = Dropout(config.residual_dropout_rate)
        self.decoder = make_layers(DecoderLayer, config, config.num_layers)
        self.decoder_norm = make_last_norm(config)

    def __call__(
        self,
        tokens: Int[Array, "batch length"],
        *,
        segments: Int[Array, "batch length"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch length vocab"]:
        """Scores the next token after every position.

        The arguments are those of `represent`.

        Returns:
            Logits of the token after each given one.
        """
        hidden = self.represent(tokens, segments=segments, deterministic=deterministic)
        return self.embedding.logits(hidden)

    def represent(
        self,
        tokens: Int[Array, "batch length"],
        *,
        segments: Int[Array, "batch length"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch length d_model"]:
        """Represents every position in view of those before it.

        Args:
            tokens: token ids, 0 for padding, which may stand on either side.
            segments: number from 1 of the text that each token belongs to, 0 for padding, where a
                row holds several texts, or where id 0 is a token.
            deterministic: no dropout.

        Returns:
            What the logits of the next token are made of.
        """
        config = self.config
        segments = token_segments(tokens, 0) if segments is None else segments
        layout = lay_out(segments, causal=True, window=config.attention_window)
        x = self._embed(tokens, layout, deterministic)

        def step(layer: DecoderLayer, x: Array, _: None) -> tuple[Array, Any]:
            return layer(x, layout, deterministic=deterministic)

        x, _ = pass_through(self.decoder, step, x, [None] * config.num_layers, remat=config.remat)
        return finish(self.decoder_norm, x, layout, deterministic)

    def start(self, batch: int, capacity: int) -> Cache:
        """Makes an empty cache for decoding.

        Args:
            batch: number of prompts.
            capacity: number of positions, prompt included, the cache has room for.

        Returns:
            A cache for `decode`, as `EncoderDecoder.start` makes it, without a context.
        """
        return make_cache(self.config, self.config.num_layers, batch, capacity)

    def decode(
        self, tokens: Int[Array, "rows new_length"], cache: Cache
    ) -> tuple[Float[Array, "rows new_length vocab"], Cache]:
        """Continues texts by one or several tokens.

        Args:
            tokens: the next token ids of each row, 0 for padding, so that prompts of different
                lengths end together when they are padded on the left; rows is a multiple of the
                cache's batch, see `functional.Cache`.
            cache: from `start` or from the call before.

        Returns:
            Logits of the token after each given one, and the cache for the next call.
        """
        cache, layout = lay_out_next(tokens, cache, self.config.attention_window)
        x = self._embed(tokens, layout, True)

        def step(layer: DecoderLayer, x: Array, before: Written) -> tuple[Array, Any]:
            return layer(x, layout, written=before, written_length=cache.length)

        x, written = pass_through(self.decoder, step, x, cache.written)
        cache = cache._replace(length=cache.length + tokens.shape[1], written=written)
        return self.embedding.logits(finish(self.decoder_norm, x, layout, True)), cache

    def _embed(self, tokens: Array, layout: Layout, deterministic: bool) -> Array:
        assert layout.positions is not None
        # A text grows while it is decoded, so its own length is not yet known.
        x = self.positions(self.embedding(tokens), layout.positions.query)
        return self.embedding_dropout(x, deterministic)
