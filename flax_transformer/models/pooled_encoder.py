"""An encoder of tokens on a grid that ends in one vector: a part of models of images and videos."""

import functools

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flax_transformer.functional.layout import lay_out_unpadded
from flax_transformer.models.layer_stack import (
    any_of,
    encoder_step,
    finish,
    lay_out_windows,
    make_last_norm,
    make_layers,
    make_position_table,
    pass_through,
)
from flax_transformer.models.vision_config import VisionConfig
from flax_transformer.modules.layers import EncoderLayer
from flax_transformer.modules.norms import Dropout
from flax_transformer.modules.observe import observe
from flax_transformer.modules.token_embedding import SMALL_DEVIATION, PositionalEmbedding


class PooledEncoder(nn.Module):
    """Adds positions to tokens, lets all attend to all, and makes one vector of them.

    Attributes:
        config: sizes and choices.
        num_layers: number of layers.
        num_tokens: rows of a learned table of positions, without that of the class token.

    Parameters:
        class_token [d_model] if the config's pooling is that; positions/table
        [num_tokens + 1 or num_tokens, d_model] of learned ones; those of the layers encoder_0,
        encoder_1, ..., and encoder_norm with pre-norm.

    Reference:
        Dosovitskiy et al. 2021, section 3.1 and figure 1.
    """

    config: VisionConfig
    num_layers: int
    num_tokens: int

    def setup(self) -> None:
        """Creates the class token, positions and layers."""
        config = self.config
        rows = self.num_tokens
        if config.pooling == "class_token":
            rows += 1
            zeros = nn.initializers.zeros
            self.class_token = self.param("class_token", zeros, (config.d_model,), jnp.float32)
        self.positions = PositionalEmbedding(config.embedded_positions(), rows, SMALL_DEVIATION)
        self.dropout = Dropout(config.residual_dropout_rate)
        self.encoder = make_layers(EncoderLayer, config, self.num_layers)
        self.encoder_positions = make_position_table(config)
        self.encoder_norm = make_last_norm(config)

    def __call__(
        self,
        tokens: Float[Array, "batch length d_model"],
        coordinates: Int[Array, "length 2"] | None = None,
        *,
        deterministic: bool = True,
    ) -> Float[Array, "batch d_model"]:
        """Represents each row of tokens by one vector: that of the class token, or their mean.

        The arguments are those of `represent`.
        """
        hidden = self.represent(tokens, coordinates, deterministic=deterministic)
        return hidden[:, 0] if self.config.pooling == "class_token" else hidden.mean(axis=1)

    def represent(
        self,
        tokens: Float[Array, "batch length d_model"],
        coordinates: Int[Array, "length 2"] | None = None,
        *,
        deterministic: bool = True,
    ) -> Float[Array, "batch num_tokens d_model"]:
        """Represents every token in view of all others.

        Args:
            tokens: one vector a token.
            coordinates: row and column of each token, if they stand on a grid.
            deterministic: no dropout.

        Returns:
            One vector a token, that of the class token first.
        """
        config, x = self.config, tokens
        if config.pooling == "class_token":
            # Zeros made from the tokens are on the same devices as the tokens.
            first = jnp.zeros_like(x[:, :1]) + self.class_token.astype(x.dtype)[None, None]
            x = jnp.concatenate([first, x], axis=1)
        layouts = lay_out_windows(config, functools.partial(lay_out_unpadded, x))
        layout = any_of(layouts)
        assert layout.positions is not None
        x = self.positions(x, layout.positions.query, layout.lengths, coordinates)
        x = observe(self, "embedded", self.dropout(x, deterministic))
        step = encoder_step(layouts, self.encoder_positions, deterministic)
        x, _ = pass_through(self.encoder, step, x, [None] * self.num_layers, remat=config.remat)
        return finish(self.encoder_norm, x, layout, deterministic)
