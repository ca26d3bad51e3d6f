"""The Vision Transformer: an image as a sequence of patches."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from flax_transformer.functional.patches import grid_coordinates, split_patches
from flax_transformer.functional.positional import ResizeMethod, resize_position_table
from flax_transformer.functional.schemes import SCHEMES
from flax_transformer.models.pooled_encoder import PooledEncoder
from flax_transformer.models.vision_config import VisionConfig


class VisionTransformer(nn.Module):
    """Maps an image to the scores of its classes.

    Attributes:
        config: sizes and choices.
        num_classes: number of classes.

    Reference:
        Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words", section 3.1; Beyer et al. 2022
        (mean pooling, sines and cosines in place of learned positions).
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
        """Scores the classes of images.

        The arguments are those of `represent`.

        Returns:
            Logits of the classes.
        """
        patches, coordinates = self._embed(images)
        pooled = self.image_encoder(patches, coordinates, deterministic=deterministic)
        return self.classifier(pooled)

    def represent(
        self,
        images: Float[Array, "batch height width channels"],
        *,
        deterministic: bool = True,
    ) -> Float[Array, "batch tokens d_model"]:
        """Represents every patch in view of the whole image.

        Args:
            images: of any size that patches fill; with learned positions, of the config's.
            deterministic: no dropout.

        Returns:
            One vector a patch, row by row; before them that of the class token, if there is one.

        Raises:
            ValueError: if the images have another size than learned positions are for.
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
    """Turns a `VisionTransformer` into one for images of another size, by its table of positions.

    Args:
        config: of the model; without learned positions, variables fit any size as they are.
        variables: of the model.
        image_size: height and width of the other images, in pixels.
        method: see `functional.resize_position_table`.

    Returns:
        Config and variables of the other model.

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
