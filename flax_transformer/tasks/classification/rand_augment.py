"""RandAugment: changes drawn from a list, all as strong as one number says.

Reference: Cubuk et al. 2020, "RandAugment: Practical Automated Data Augmentation with a Reduced
Search Space"; the largest changes are those of Cubuk et al. 2019, "AutoAugment".
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from flax_transformer.data.augmentation_config import MAX_MAGNITUDE
from flax_transformer.tasks.classification.warp import slant_level, slant_upright, turn, warp

Image = Float[Array, "height width channels"]
Strength = Float[Array, ""]  # -1 to 1
Color = Callable[[Image, Strength], Any]  # of an image with values from 0 to 1

MAX_ANGLE = jnp.pi / 6
MAX_TANGENT = 0.3
MAX_MOVE = 0.3  # of the height or the width
MAX_FACTOR = 0.9  # by which brightness, contrast and saturation rise or fall
TINY = float(jnp.finfo(jnp.float32).tiny)


def adjust_contrast(image: Image, factor: Float[Array, ""]) -> Image:
    """Multiplies the distance of each value from its channel's mean."""
    mean = image.mean(axis=(0, 1), keepdims=True)
    return mean + factor * (image - mean)


def adjust_saturation(image: Image, factor: Float[Array, ""]) -> Image:
    """Multiplies the saturation (HSV, at most 1 afterwards); hue and value stay.

    Saturation is the share of the largest channel by which the smallest is below it, so it grows
    as the distances of all channels from the largest do.
    """
    value = image.max(axis=-1, keepdims=True)
    distance = value - image
    # Gray and black have no hue: their distances are 0, whatever multiplies them.
    most = value / jnp.maximum(distance.max(axis=-1, keepdims=True), TINY)
    return value - jnp.minimum(factor, most) * distance


def solarize(image: Image, threshold: Float[Array, ""]) -> Image:
    """Inverts the values from a threshold on."""
    return jnp.where(image < threshold, image, 1 - image)


_COLORS: dict[str, Color] = {
    "identity": lambda image, strength: image,
    "brightness": lambda image, strength: image * (1 + MAX_FACTOR * strength),
    "contrast": lambda image, strength: adjust_contrast(image, 1 + MAX_FACTOR * strength),
    "solarize": lambda image, strength: solarize(image, 1 - jnp.abs(strength)),
}
_OF_THREE_CHANNELS: dict[str, Color] = {
    "saturation": lambda image, strength: adjust_saturation(image, 1 + MAX_FACTOR * strength),
}
_MATRICES: dict[str, Callable[[Strength], Array]] = {
    "turn": lambda strength: turn(MAX_ANGLE * strength),
    "slant_upright": lambda strength: slant_upright(MAX_TANGENT * strength),
    "slant_level": lambda strength: slant_level(MAX_TANGENT * strength),
}
_MOVES = {"down": (MAX_MOVE, 0.0), "right": (0.0, MAX_MOVE)}


def rand_augment(rng: PRNGKeyArray, image: Image, num_layers: int, magnitude: float) -> Image:
    """Changes an image several times, each time in a way drawn from the list with equal chances.

    Args:
        rng: random key.
        image: values from 0 to 1.
        num_layers: changes, one after the other.
        magnitude: how strong they are, 0 to 10.
    """
    changes = names(image.shape[-1])
    for layer_rng in jax.random.split(rng, num_layers):
        which, sign = jax.random.split(layer_rng)
        index = jax.random.randint(which, (), 0, len(changes))
        strength = jax.random.rademacher(sign, dtype=jnp.float32) * magnitude / MAX_MAGNITUDE
        image = apply_change(image, index, strength)
    return image


def names(num_channels: int) -> list[str]:
    """Names the changes of images with so many channels, in the order of their indices."""
    return [*_colors(num_channels), *_MATRICES, *_MOVES]


def apply_change(image: Image, index: Array, strength: Strength) -> Image:
    """Applies the change of an index: colors by their own functions, all others by one warp.

    Mapped over many images, every branch of a choice is computed for all of them: colors cost
    little, and a warp that moves nothing stands for those of the others.
    """
    height, width, num_channels = image.shape
    colors = _colors(num_channels)
    nowhere, unchanged = jnp.zeros(2), jnp.eye(2)
    sizes = jnp.array([height, width])
    moves = [jnp.array(share) * sizes * strength for share in _MOVES.values()]
    matrices = [matrix(strength) for matrix in _MATRICES.values()]
    matrix = jnp.stack([*[unchanged] * len(colors), *matrices, *[unchanged] * len(moves)])[index]
    move = jnp.stack([*[nowhere] * (len(colors) + len(matrices)), *moves])[index]
    branch = jnp.where(index < len(colors), index, 0)
    colored = jax.lax.switch(branch, list(colors.values()), image, strength)
    return jnp.clip(warp(colored, matrix, move), 0, 1)


def _colors(num_channels: int) -> dict[str, Color]:
    return _COLORS | _OF_THREE_CHANNELS if num_channels == 3 else _COLORS
