"""The encoder-only Transformer of BERT: representations of tokens and of whole texts."""

import dataclasses
import functools
from typing import ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from flax_transformer.errors import unknown_part
from flax_transformer.functional.array_types import along_last_axes
from flax_transformer.functional.feed_forward import gelu
from flax_transformer.functional.layout import lay_out
from flax_transformer.functional.pooling import POOLINGS
from flax_transformer.models.layer_stack import (
    all_one,
    any_of,
    encode_whole,
    finish,
    lay_out_windows,
    make_embedding,
    make_last_norm,
    make_layers,
    make_position_table,
    make_positions,
)
from flax_transformer.modules.layer_options import TransformerConfig
from flax_transformer.modules.layers import EncoderLayer
from flax_transformer.modules.norms import Dropout, Residual, make_norm
from flax_transformer.modules.observe import observe
from flax_transformer.modules.token_embedding import (
    EmbeddingScaling,
    TokenConvolution,
    TokenEmbedding,
)


@dataclasses.dataclass(frozen=True)
class EncoderOnlyConfig(TransformerConfig):
    """Sizes and options of an encoder-only Transformer; the defaults are BERT's base."""

    reads: ClassVar[str] = "tokens"
    gives: ClassVar[str] = "vectors"

    d_model: int = 768
    """Width of the embeddings and of the layers' inputs and outputs."""
    d_ff: int = 3072
    """Width of the feed-forward networks' hidden layers."""
    num_heads: int = 12
    """Attention heads in each layer."""
    attention_bias: bool = True
    """Biases in the projections of attention."""
    norm_epsilon: float = 1e-12
    """Term added to the variance in a normalization."""
    activation: str = "gelu"
    """Function in the feed-forward networks, such as gelu (BERT), relu or swiglu."""
    positions: str | tuple[str, ...] = "learned"
    """Positional scheme; `flax-transformer list` describes all."""
    max_positions: int = 512
    """Rows of a learned table of positions."""
    embedding_scaling: EmbeddingScaling = "none"
    """Use of sqrt(d_model): it multiplies the embeddings (inputs), divides the logits (logits), or
    is not used (none, BERT)."""
    embedding_norm: bool = True
    """Normalization of the sum of embeddings and positions."""
    attention_dropout_rate: float = 0.1
    """Dropout of the attention weights."""
    num_layers: int = 12
    """Number of layers."""
    num_sentences: int | None = 2
    """Number of sentences of a text, each with an embedding of its own (BERT: 2); None: sentences
    have no embeddings (DistilBERT)."""
    pooling: str = "first"
    """Vector of a whole text: that of its first token (first), or the mean or max of all tokens."""
    pooler_activation: Literal["tanh", "relu"] = "tanh"
    """Function of the layer after the pooling: tanh (BERT), or relu (DistilBERT)."""
    transform_bias: bool = True
    """Bias of the layer before the logits of masked tokens; ModernBERT has none."""
    token_dropout_rate: float = 0.0
    """Dropout that removes the embeddings of whole tokens."""
    convolution_width: int | None = None
    """Adjacent tokens that a convolution mixes before the first layer, in a residual connection; no
    convolution if not given. It helps to learn word order from few texts."""

    def __post_init__(self) -> None:
        """Rejects impossible values."""
        super().__post_init__()
        if self.pooling not in POOLINGS:
            raise unknown_part("--model.pooling", self.pooling, POOLINGS)

    def build(self, *, vocab_size: int, num_classes: int = 2) -> "EncoderOnly":
        """Makes the model for vocab_size tokens and num_classes classes of texts."""
        return EncoderOnly(self, vocab_size, num_classes)


class EncoderOnly(nn.Module):
    """Encodes every token of a text in its context, and the text as a whole.

    The heads are methods, and have parameters if the model is initialized by them:
    `model.init(key, tokens, method="predict_tokens")`. The variables of the layers are named
    encoder_0, encoder_1, ..., as in `EncoderDecoder`. Observed, see `modules.observe`:
    token_embedding, embedded (with positions), pooled and logits.

    Attributes:
        config: sizes and options.
        vocab_size: number of tokens.
        num_classes: number of classes of whole texts.

    Reference:
        Devlin et al. 2019, "BERT", sections 3 and 3.1.
    """

    config: EncoderOnlyConfig
    vocab_size: int
    num_classes: int = 2

    def setup(self) -> None:
        """Creates embeddings, layers and heads."""
        config = self.config
        width, scaling, dtype = config.d_model, config.embedding_scaling, config.dtype
        self.embedding = make_embedding(config, self.vocab_size)
        self.positions = make_positions(config)
        self.sentence_embedding = None
        if config.num_sentences is not None:
            self.sentence_embedding = TokenEmbedding(config.num_sentences, width, scaling, dtype)
        self.embedding_norm = make_norm(config) if config.embedding_norm else None
        self.dropout = Dropout(config.residual_dropout_rate)
        self.token_dropout = Dropout(config.token_dropout_rate)
        if config.convolution_width is not None:
            self.embedding_convolution = TokenConvolution(config.convolution_width, dtype)
            self.embedding_residual = Residual(config)
        self.encoder = make_layers(EncoderLayer, config, config.num_layers)
        self.encoder_positions = make_position_table(config)
        self.encoder_norm = make_last_norm(config)
        self.pooler = nn.Dense(width, dtype=dtype)
        self.classifier = nn.Dense(self.num_classes, dtype=dtype)
        self.token_transform = nn.Dense(width, config.transform_bias, dtype=dtype)
        self.token_norm = make_norm(config)
        self.token_bias = _Bias(self.vocab_size)

    def __call__(
        self,
        tokens: Int[Array, "batch length"],
        *,
        sentences: Int[Array, "batch length"] | None = None,
        segments: Int[Array, "batch length"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch length d_model"]:
        """Encodes every token in its context.

        Args:
            tokens: token ids.
            sentences: number of each token's sentence within its text, counted from 0; by default
                all tokens are in the first sentence.
            segments: number of the text that each token belongs to, counted from 1, and 0 for
                padding on either side; texts of one row do not attend to each other. None: every
                row is one text without padding.
            deterministic: disables dropout.

        Returns:
            One vector for each token.

        Raises:
            ValueError: if sentences are given, but have no embeddings.
        """
        config, segments = self.config, all_one(tokens, segments)
        layouts = lay_out_windows(config, functools.partial(lay_out, segments))
        layout = any_of(layouts)
        assert layout.positions is not None
        x = observe(self, "token_embedding", self.embedding(tokens))
        # Positions remain: the model sees that there was a token.
        x *= self.token_dropout(jnp.ones((*tokens.shape, 1), x.dtype), deterministic)
        if self.sentence_embedding is not None:
            x += self.sentence_embedding(jnp.zeros_like(tokens) if sentences is None else sentences)
        elif sentences is not None:
            raise ValueError("sentences need num_sentences in the config")
        x = self.positions(x, layout.positions.query, layout.lengths)
        x = finish(self.embedding_norm, x, layout, deterministic)
        x = observe(self, "embedded", self.dropout(x, deterministic))
        if config.convolution_width is not None:
            y = self.embedding_residual.before(x, layout.is_token, deterministic)
            y = self.embedding_convolution(y, segments)
            x = self.embedding_residual.after(x, y, layout.is_token, deterministic)
        return encode_whole(self, x, layouts, config.num_layers, deterministic)

    def predict_tokens(
        self,
        tokens: Int[Array, "batch length"],
        *,
        sentences: Int[Array, "batch length"] | None = None,
        segments: Int[Array, "batch length"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch length vocab"]:
        """Computes logits of the token at every place: the head of masked language modeling.

        The arguments are those of the call; some tokens have the mask's id.

        Returns:
            Logits of the token at each place.
        """
        hidden = self(tokens, sentences=sentences, segments=segments, deterministic=deterministic)
        is_token = all_one(tokens, segments) != 0
        logits = self.score_tokens(hidden, is_token, deterministic=deterministic)
        return observe(self, "logits", logits)

    def score_tokens(
        self,
        hidden: Float[Array, "batch places d_model"],
        is_token: Bool[Array, "batch places"],
        *,
        deterministic: bool = True,
    ) -> Float[Array, "batch places vocab"]:
        """Computes logits of the token at selected places only.

        logits = norm(gelu(hidden W + b)) E^T + c,  where E is the tokens' embedding

        Args:
            hidden: output of the call for these places.
            is_token: False for padding.
            deterministic: whether a batch normalization uses its running statistics.

        Returns:
            Logits of the token at each place.
        """
        hidden = gelu(self.token_transform(hidden))
        hidden = self.token_norm(hidden, is_token, deterministic)
        return self.token_bias(self.embedding.logits(hidden))

    def pool(
        self,
        tokens: Int[Array, "batch length"],
        *,
        sentences: Int[Array, "batch length"] | None = None,
        segments: Int[Array, "batch length"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch d_model"]:
        """Encodes whole texts.

        f(h W + b),  where h is the first token's vector, or the mean or max over all, and f is tanh

        Args:
            tokens: see the call; one text in each row.
            sentences: see the call.
            segments: 1 for tokens, 0 for padding; None: there are only tokens.
            deterministic: disables dropout.

        Returns:
            One vector for each text.
        """
        segments = all_one(tokens, segments)
        hidden = self(tokens, sentences=sentences, segments=segments, deterministic=deterministic)
        pooled = jax.vmap(POOLINGS[self.config.pooling])(hidden, segments != 0)
        activate = {"tanh": jnp.tanh, "relu": jax.nn.relu}[self.config.pooler_activation]
        return observe(self, "pooled", activate(self.pooler(pooled)))

    def classify(
        self,
        tokens: Int[Array, "batch length"],
        *,
        sentences: Int[Array, "batch length"] | None = None,
        segments: Int[Array, "batch length"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch classes"]:
        """Computes the logits of the classes of whole texts.

        The arguments are those of `pool`.

        Returns:
            Logits of the classes.
        """
        pooled = self.pool(
            tokens, sentences=sentences, segments=segments, deterministic=deterministic
        )
        logits = self.classifier(self.dropout(pooled, deterministic))
        return observe(self, "logits", logits)


class _Bias(nn.Module):
    """Adds a bias to each feature; the parameter exists only if the module is called."""

    features: int

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        return inputs + along_last_axes(bias.astype(inputs.dtype), inputs.ndim)
