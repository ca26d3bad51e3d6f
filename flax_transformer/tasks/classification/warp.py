"""Rotation, shear, scaling and translation of images by one affine map of coordinates."""

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float

Matrix = Float[Array, "2 2"]


def warp(
    image: Float[Array, "height width channels"], matrix: Matrix, move: Float[Array, "2"]
) -> Float[Array, "height width channels"]:
    """Warps an image by a linear map about its center, after a translation.

    warped[p] = image[matrix (p - middle) + middle - move]

    Interpolates bilinearly between pixels; outside the image all is black. A map by whole pixels
    changes no value.

    Args:
        image: of one example.
        matrix: maps rows and columns of the result to rows and columns of the image.
        move: translation before the map, in pixels down and to the right.

    Example:
        >>> image = jnp.arange(1.0, 5).reshape(2, 2, 1)
        >>> warp(image, turn(jnp.pi / 2), jnp.zeros(2))[..., 0].round().tolist()
        [[2.0, 4.0], [1.0, 3.0]]
    """
    height, width, _ = image.shape
    middle = jnp.array([height - 1, width - 1])[:, None, None] / 2
    places = jnp.stack(jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij")) - middle
    places = jnp.tensordot(matrix, places, axes=1) + middle - move[:, None, None]
    by_channel = jax.vmap(lambda channel: map_coordinates(channel, list(places), order=1), 2, 2)
    return by_channel(image)


def turn(angle: Float[Array, ""] | float) -> Matrix:
    """Rotates an image counterclockwise by an angle in radians."""
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.array([[cos, sin], [-sin, cos]])


def slant_upright(tangent: Float[Array, ""] | float) -> Matrix:
    """Shears vertical lines: a point one pixel above the center moves `tangent` to the right."""
    return jnp.array([[1.0, 0.0], [tangent, 1.0]])


def slant_level(tangent: Float[Array, ""] | float) -> Matrix:
    """Shears horizontal lines: a point one pixel right of the center moves `tangent` up."""
    return jnp.array([[1.0, tangent], [0.0, 1.0]])
