"""RandAugment: random changes from a list, with one strength for all.

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
Color = Callable[[Image, Strength], Any]  # takes an image with values from 0 to 1

MAX_ANGLE = jnp.pi / 6
MAX_TANGENT = 0.3
MAX_MOVE = 0.3  # of the height or the width
MAX_FACTOR = 0.9  # largest relative change of brightness, contrast and saturation
TINY = float(jnp.finfo(jnp.float32).tiny)


def adjust_contrast(image: Image, factor: Float[Array, ""]) -> Image:
    """Multiplies the distance of each value from its channel's mean."""
    mean = image.mean(axis=(0, 1), keepdims=True)
    return mean + factor * (image - mean)


def adjust_saturation(image: Image, factor: Float[Array, ""]) -> Image:
    """Multiplies the saturation (HSV, at most 1 afterwards); hue and value stay.

    Saturation is (max - min) / max over the channels, so it is proportional to the distances of all
    channels from the largest.
    """
    value = image.max(axis=-1, keepdims=True)
    distance = value - image
    # Gray and black have no hue: their distances are 0 with any factor.
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
    """Changes an image several times, each time by a change chosen uniformly from the list.

    Args:
        rng: random key.
        image: values from 0 to 1.
        num_layers: number of successive changes.
        magnitude: strength of the changes, 0 to 10.
    """
    changes = names(image.shape[-1])
    for layer_rng in jax.random.split(rng, num_layers):
        which, sign = jax.random.split(layer_rng)
        index = jax.random.randint(which, (), 0, len(changes))
        strength = jax.random.rademacher(sign, dtype=jnp.float32) * magnitude / MAX_MAGNITUDE
        image = apply_change(image, index, strength)
    return image


def names(num_channels: int) -> list[str]:
    """Lists the names of the changes for a number of channels, in the order of their indices."""
    return [*_colors(num_channels), *_MATRICES, *_MOVES]


def apply_change(image: Image, index: Array, strength: Strength) -> Image:
    """Applies the change of an index: color changes by their own functions, others by one warp.

    Under `vmap`, every branch of a choice is computed for all images. So all geometric changes
    share one warp, which is the identity for color changes; color branches are cheap.
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
