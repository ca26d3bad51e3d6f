"""The Vision Transformer: an image as a sequence of patches."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flax_transformer.functional.layout import lay_out_unpadded
from flax_transformer.functional.patches import grid_coordinates, split_patches
from flax_transformer.functional.positional import ResizeMethod, resize_position_table
from flax_transformer.functional.schemes import SCHEMES
from flax_transformer.models.layer_stack import (
    any_of,
    encode_whole,
    lay_out_windows,
    make_last_norm,
    make_layers,
    make_position_table,
)
from flax_transformer.modules.layer_options import ModelConfig, NormPlacement
from flax_transformer.modules.layers import EncoderLayer
from flax_transformer.modules.norms import Dropout
from flax_transformer.modules.observe import observe
from flax_transformer.modules.token_embedding import SMALL_DEVIATION, PositionalEmbedding

Pooling = Literal["class_token", "mean"]


@dataclasses.dataclass(frozen=True)
class VisionConfig(ModelConfig):
    """Sizes and options of a Vision Transformer; the defaults are ViT-B/16."""

    reads: ClassVar[str] = "images"
    gives: ClassVar[str] = "classes"

    d_model: int = 768
    """Width of the embeddings and of the layers' inputs and outputs."""
    d_ff: int = 3072
    """Width of the feed-forward networks' hidden layers."""
    num_heads: int = 12
    """Attention heads in each layer."""
    attention_bias: bool = True
    """Biases in the projections of attention."""
    norm_placement: NormPlacement = "pre"
    """Normalization after each residual connection (post), before each sublayer (pre, ViT), or
    before and after it (both)."""
    activation: str = "gelu"
    """Function in the feed-forward networks, such as gelu (ViT), relu or swiglu."""
    positions: str | tuple[str, ...] = "learned"
    """Positional scheme: learned for one image size, sinusoidal_2d by row and column, or any other,
    with patches counted row by row."""
    residual_dropout_rate: float = 0.0
    """Dropout of the embeddings and of each sublayer's output."""
    num_layers: int = 12
    """Number of layers."""
    image_size: tuple[int, int] = (224, 224)
    """Height and width of images, in pixels."""
    patch_size: tuple[int, int] = (16, 16)
    """Height and width of a patch, in pixels."""
    num_channels: int = 3
    """Channels of images: 3 for color, 1 for grayscale."""
    pooling: Pooling = "class_token"
    """Vector of a whole image: that of an additional class token, or the mean of all patches."""

    def contradictions(self) -> Iterator[tuple[bool, str]]:
        """Adds sizes that are impossible for images."""
        yield from super().contradictions()
        for name, size in (("image-size", self.image_size), ("patch-size", self.patch_size)):
            yield min(size) < 1, f"--model.{name} must be at least 1 each way, not {size}"
        yield (
            any(n % k for n, k in zip(self.image_size, self.patch_size, strict=True)),
            f"--model.image-size {self.image_size} is not a multiple of --model.patch-size "
            f"{self.patch_size}: change one",
        )

    def build(self, *, num_classes: int) -> Any:
        """Makes a `VisionTransformer` for num_classes classes."""
        return VisionTransformer(self, num_classes)

    def grid(self) -> tuple[int, int]:
        """Numbers of rows and columns of an image's patches."""
        height, width = self.image_size
        return height // self.patch_size[0], width // self.patch_size[1]


class PooledEncoder(nn.Module):
    """Adds positions to tokens, applies the layers, and computes one vector.

    Attributes:
        config: sizes and options.
        num_layers: number of layers.
        num_tokens: rows of a learned table of positions, without the class token's.

    Parameters:
        class_token [d_model] with the config's pooling by class token; positions/table
        [num_tokens + 1 or num_tokens, d_model] with learned positions; those of the layers
        encoder_0, encoder_1, ..., and encoder_norm with pre-norm.

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
        """Computes one vector from each row of tokens: the class token's, or their mean.

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
        """Encodes every token in the context of all others.

        Args:
            tokens: one vector for each token.
            coordinates: row and column of each token, if they are on a grid.
            deterministic: disables dropout.

        Returns:
            One vector for each token, the class token's first.
        """
        config, x = self.config, tokens
        if config.pooling == "class_token":
            # Zeros computed from the tokens are on the same devices as the tokens.
            first = jnp.zeros_like(x[:, :1]) + self.class_token.astype(x.dtype)[None, None]
            x = jnp.concatenate([first, x], axis=1)
        layouts = lay_out_windows(config, functools.partial(lay_out_unpadded, x))
        layout = any_of(layouts)
        assert layout.positions is not None
        x = self.positions(x, layout.positions.query, layout.lengths, coordinates)
        x = observe(self, "embedded", self.dropout(x, deterministic))
        return encode_whole(self, x, layouts, self.num_layers, deterministic)


class VisionTransformer(nn.Module):
    """Maps an image to the logits of its classes.

    Attributes:
        config: sizes and options.
        num_classes: number of classes.

    Reference:
        Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words", section 3.1; Beyer et al. 2022
        (mean pooling, sines and cosines instead of learned positions).
    """

    config: VisionConfig
    num_classes: int

    def setup(self) -> None:
        """Creates the patches' embedding, the encoder and the classifier."""
        config = self.config
        rows, columns = config.grid()
        self.patch_embedding = nn.Dense(config.d_model, dtype=config.dtype)
        self.image_encoder = PooledEncoder(config, config.num_layers, rows * columns)
        self.classifier = nn.Dense(self.num_classes, dtype=config.dtype)

    def __call__(
        self,
        images: Float[Array, "batch height width channels"],
        *,
        deterministic: bool = True,
    ) -> Float[Array, "batch classes"]:
        """Computes the logits of the classes of images.

        The arguments are those of `represent`.

        Returns:
            Logits of the classes.
        """
        patches, coordinates = self._embed(images)
        pooled = self.image_encoder(patches, coordinates, deterministic=deterministic)
        return observe(self, "logits", self.classifier(pooled))

    def represent(
        self,
        images: Float[Array, "batch height width channels"],
        *,
        deterministic: bool = True,
    ) -> Float[Array, "batch tokens d_model"]:
        """Encodes every patch in the context of the whole image.

        Args:
            images: images of any size that patches fill; with learned positions, of the config's
                size.
            deterministic: disables dropout.

        Returns:
            One vector for each patch, row by row, preceded by the class token's, if there is one.

        Raises:
            ValueError: if the images do not have the size of learned positions.
        """
        patches, coordinates = self._embed(images)
        return self.image_encoder.represent(patches, coordinates, deterministic=deterministic)

    def _embed(self, images: Array) -> tuple[Array, Array]:
        config, size = self.config, images.shape[1:3]
        if SCHEMES[config.embedded_positions()].has_table and size != config.image_size:
            raise ValueError(
                f"images {images.shape} are not of the size {config.image_size} that learned "
                "positions are for: resize_images makes a model of another size"
            )
        patches = jax.vmap(lambda image: split_patches(image, config.patch_size))(images)
        height, width = config.patch_size
        grid = (size[0] // height, size[1] // width)
        # Only the shape of an image is needed: its patches may be on another device.
        coordinates = grid_coordinates(jnp.zeros(patches.shape[1:]), grid)
        return self.patch_embedding(patches), coordinates


def resize_images(
    config: VisionConfig,
    variables: Mapping[str, Any],
    image_size: tuple[int, int],
    method: ResizeMethod = "bicubic",
) -> tuple[VisionConfig, dict[str, Any]]:
    """Adapts a `VisionTransformer` to another image size by resizing its table of positions.

    Args:
        config: config of the model; without learned positions, the variables fit any size
            unchanged.
        variables: variables of the model.
        image_size: height and width of the new images, in pixels.
        method: see `functional.resize_position_table`.

    Returns:
        Config and variables of the new model.

    Raises:
        UserError: if the patches do not fill such images.

    Reference:
        Dosovitskiy et al. 2021, section 3.2.
    """
    new_config = dataclasses.replace(config, image_size=image_size)
    if not SCHEMES[config.embedded_positions()].has_table:
        return new_config, dict(variables)
    params = variables["params"]
    encoder = params["image_encoder"]
    table = encoder["positions"]["table"]
    resized = resize_position_table(table, config.grid(), new_config.grid(), method)
    encoder = encoder | {"positions": {"table": resized}}
    return new_config, dict(variables) | {"params": params | {"image_encoder": encoder}}
