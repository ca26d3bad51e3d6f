"""The decoder-only Transformer of GPT-2: a language model."""

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import Any, ClassVar

import flax.linen as nn
from jaxtyping import Array, Bool, Float, Int

from flax_transformer.functional.cache import Cache, Written, read_all
from flax_transformer.functional.layout import lay_out
from flax_transformer.models.layer_stack import (
    Layouts,
    all_one,
    any_of,
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
from flax_transformer.modules.layer_options import NormPlacement, TransformerConfig
from flax_transformer.modules.layers import DecoderLayer, Past
from flax_transformer.modules.multi_head_attention import KeyValue
from flax_transformer.modules.norms import Dropout, make_norm
from flax_transformer.modules.observe import observe
from flax_transformer.modules.token_embedding import EmbeddingScaling


@dataclasses.dataclass(frozen=True)
class DecoderOnlyConfig(TransformerConfig):
    """Sizes and options of a decoder-only Transformer; the defaults are the smallest GPT-2."""

    reads: ClassVar[str] = "tokens"
    gives: ClassVar[str] = "next_tokens"

    d_model: int = 768
    """Width of the embeddings and of the layers' inputs and outputs."""
    d_ff: int = 3072
    """Width of the feed-forward networks' hidden layers."""
    num_heads: int = 12
    """Attention heads in each layer."""
    attention_bias: bool = True
    """Biases in the projections of attention."""
    norm_placement: NormPlacement = "pre"
    """Normalization after each residual connection (post), before each sublayer (pre, GPT-2), or
    before and after it (both)."""
    norm_epsilon: float = 1e-5
    """Term added to the variance in a normalization."""
    activation: str = "gelu_tanh"
    """Function in the feed-forward networks, such as gelu_tanh (GPT-2), relu or swiglu."""
    positions: str | tuple[str, ...] = "learned"
    """Positional scheme; `flax-transformer list` describes all."""
    embedding_scaling: EmbeddingScaling = "none"
    """Use of sqrt(d_model): it multiplies the embeddings (inputs), divides the logits (logits), or
    is not used (none, GPT-2)."""
    attention_dropout_rate: float = 0.1
    """Dropout of the attention weights."""
    num_layers: int = 12
    """Number of layers."""

    def build(self, *, vocab_size: int) -> "DecoderOnly":
        """Makes the model for a vocabulary of vocab_size tokens."""
        return DecoderOnly(self, vocab_size)


def decode_whole(
    model: Any,
    inputs: Float[Array, "batch length d_model"],
    layouts: Layouts,
    num_layers: int,
    deterministic: bool,
    memory: Float[Array, "batch source_length d_model"] | None = None,
    memory_mask: Bool[Array, "batch length source_length"] | None = None,
) -> Float[Array, "batch length d_model"]:
    """Passes whole texts through the decoder of a model.

    Args:
        model: model with a decoder, decoder_positions and decoder_norm.
        inputs: embedded tokens.
        layouts: layouts of the tokens.
        num_layers: number of decoder layers.
        deterministic: disables dropout.
        memory: output of the encoder; None without an encoder.
        memory_mask: True where a token may attend to the memory.
    """
    table = model.decoder_positions and model.decoder_positions()

    def step(layer: DecoderLayer, x: Array, _: None) -> tuple[Array, Any]:
        return layer(
            x,
            layouts[layer.options.attention_window],
            None if memory is None else layer.memory_keys_values(memory),
            memory_mask,
            position_table=table,
            deterministic=deterministic,
        )

    given = [None] * num_layers
    x, _ = pass_through(model.decoder, step, inputs, given, remat=model.config.remat)
    return finish(model.decoder_norm, x, any_of(layouts), deterministic)


def decode_next(
    model: Any,
    inputs: Float[Array, "rows new_length d_model"],
    layouts: Layouts,
    cache: Cache,
    memories: Sequence[Written] = (),
    memory_mask: Bool[Array, "batch 1 source_length"] | None = None,
) -> tuple[Float[Array, "rows new_length d_model"], Cache]:
    """Passes the next tokens through the decoder of a model.

    Args:
        model: model with a decoder, decoder_positions and decoder_norm.
        inputs: embedded tokens.
        layouts: from `lay_out_next`.
        cache: from `lay_out_next`.
        memories: keys and values of the source for each layer; empty without an encoder.
        memory_mask: True where a token may attend to the source.
    """
    table = model.decoder_positions and model.decoder_positions()

    def step(layer: DecoderLayer, x: Array, given: Any) -> tuple[Array, Any]:
        memory, written = given
        return layer(
            x,
            layouts[layer.options.attention_window],
            None if memory is None else KeyValue(*read_all(memory)),
            memory_mask,
            past=Past(written, cache.length, cache.lineage is not None),
            position_table=table,
        )

    given = list(itertools.zip_longest(memories, cache.written))
    x, written = pass_through(model.decoder, step, inputs, given)
    cache = cache._replace(length=cache.length + inputs.shape[1], written=written)
    return finish(model.decoder_norm, x, any_of(layouts), True), cache


class DecoderOnly(nn.Module):
    """Maps the beginning of a text to its next tokens.

    One matrix embeds tokens and computes the logits unless the config says otherwise. The variables
    of the layers are named decoder_0, decoder_1, ..., as in `EncoderDecoder`. Observed, see
    `modules.observe`: token_embedding, embedded (with positions) and logits.

    Attributes:
        config: sizes and options.
        vocab_size: number of tokens.

    Reference:
        Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3.
    """

    config: DecoderOnlyConfig
    vocab_size: int

    def setup(self) -> None:
        """Creates embeddings and layers."""
        config = self.config
        self.embedding = make_embedding(config, self.vocab_size)
        self.positions = make_positions(config)
        self.embedding_norm = make_norm(config) if config.embedding_norm else None
        self.embedding_dropout = Dropout(config.residual_dropout_rate)
        self.decoder = make_layers(DecoderLayer, config, config.num_layers)
        self.decoder_positions = make_position_table(config)
        self.decoder_norm = make_last_norm(config)

    def __call__(
        self,
        tokens: Int[Array, "batch length"],
        *,
        segments: Int[Array, "batch length"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch length vocab"]:
        """Computes the logits of the next token at every position.

        The arguments are those of `represent`.

        Returns:
            Logits of the token after each given one.
        """
        hidden = self.represent(tokens, segments=segments, deterministic=deterministic)
        return observe(self, "logits", self.embedding.logits(hidden))

    def represent(
        self,
        tokens: Int[Array, "batch length"],
        *,
        segments: Int[Array, "batch length"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch length d_model"]:
        """Computes the final hidden state of every position from the tokens up to it.

        Args:
            tokens: token ids.
            segments: number of the text that each token belongs to, counted from 1, and 0 for
                padding on either side; None: every row is one text without padding.
            deterministic: disables dropout.

        Returns:
            Hidden states from which the logits of the next token are computed.
        """
        config = self.config
        layouts = lay_out_windows(
            config, functools.partial(lay_out, all_one(tokens, segments), causal=True)
        )
        x = self._embed(tokens, layouts, deterministic)
        return decode_whole(self, x, layouts, config.num_layers, deterministic)

    def start(self, batch: int, capacity: int) -> Cache:
        """Makes an empty cache for decoding.

        Args:
            batch: number of prompts.
            capacity: maximum number of positions in the cache, including the prompt.

        Returns:
            A cache for `decode`, as `EncoderDecoder.start` returns it, without a context.
        """
        return make_cache(self.config, self.config.num_layers, batch, capacity)

    def decode(
        self,
        tokens: Int[Array, "rows new_length"],
        cache: Cache,
        is_token: Bool[Array, "rows new_length"] | None = None,
    ) -> tuple[Float[Array, "rows new_length vocab"], Cache]:
        """Continues texts by one or several tokens.

        Args:
            tokens: the next token ids of each row; the number of rows is a multiple of the cache's
                batch, see `functional.Cache`.
            cache: cache from `start` or from the previous call.
            is_token: False for padding; prompts of different lengths are padded on the left, so
                that they end together. None: all are tokens.

        Returns:
            Logits of the token after each given one, and the cache for the next call.
        """
        cache, layouts = lay_out_next(self.config, tokens, is_token, cache)
        x, cache = decode_next(self, self._embed(tokens, layouts, True), layouts, cache)
        return observe(self, "logits", self.embedding.logits(x)), cache

    def _embed(self, tokens: Array, layouts: Layouts, deterministic: bool) -> Array:
        layout = any_of(layouts)
        assert layout.positions is not None
        # A text grows during decoding, so its own length is not yet known.
        x = observe(self, "token_embedding", self.embedding(tokens))
        x = self.positions(x, layout.positions.query)
        x = finish(self.embedding_norm, x, layout, deterministic)
        return observe(self, "embedded", self.embedding_dropout(x, deterministic))
