"""Cuts images and videos into equal pieces, each of which becomes one token."""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Shaped


@functools.partial(jax.jit, static_argnames="size")
def split_patches(
    image: Shaped[Array, "height width channels"], size: tuple[int, int]
) -> Shaped[Array, "patches features"]:
    """Cuts an image into patches that do not overlap, row by row.

    patch[i columns + j, (y size_2 + x) channels + c] = image[i size_1 + y, j size_2 + x, c]
    with columns = width / size_2

    A dense layer of the patches is a convolution with a stride equal to its kernel's size.

    Args:
        image: of one example.
        size: height and width of a patch, in pixels.

    Returns:
        One flat vector a patch.

    Raises:
        ValueError: if the patches do not fill the image, or it has another number of axes.

    Example:
        >>> split_patches(jnp.arange(8).reshape(2, 4, 1), (2, 2)).tolist()
        [[0, 1, 4, 5], [2, 3, 6, 7]]

    Reference:
        Dosovitskiy et al. 2021, section 3.1.
    """
    return _split("image", image, size)


@functools.partial(jax.jit, static_argnames="size")
def split_tubelets(
    video: Shaped[Array, "frames height width channels"], size: tuple[int, int, int]
) -> Shaped[Array, "tubelets features"]:
    """Cuts a video into tubelets that do not overlap: patches that span several frames.

    Tubelets are ordered by time, then row, then column. Inside a tubelet, values are ordered by
    frame, row, column and channel. Tubelets of one frame are the patches of the frames.

    Args:
        video: of one example.
        size: frames, height and width of a tubelet.

    Returns:
        One flat vector a tubelet.

    Raises:
        ValueError: if the tubelets do not fill the video, or it has another number of axes.

    Example:
        >>> split_tubelets(jnp.arange(8).reshape(2, 2, 2, 1), (2, 1, 2)).tolist()
        [[0, 1, 4, 5], [2, 3, 6, 7]]

    Reference:
        Arnab et al. 2021, section 3.2, figure 3.
    """
    return _split("video", video, size)


@functools.partial(jax.jit, static_argnames="grid")
def grid_coordinates(
    tokens: Shaped[Array, "length features"], grid: tuple[int, int]
) -> Int[Array, "length 2"]:
    """Returns the row and the column of tokens that fill a grid row by row.

    coordinates[i] = (floor(i / columns), i mod columns)

    Args:
        tokens: one vector a cell of the grid.
        grid: rows and columns.

    Returns:
        Row and column of each token, from 0.

    Raises:
        ValueError: if there is not one token for each cell.

    Example:
        >>> grid_coordinates(jnp.zeros((4, 1)), (2, 2)).tolist()
        [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    rows, columns = grid
    if tokens.shape[0] != rows * columns:
        raise ValueError(f"tokens {tokens.shape} are not one for each cell of a grid {grid}")
    cells = jnp.arange(rows * columns, dtype=jnp.int32)
    return jnp.stack([cells // columns, cells % columns], axis=1)


def _split(name: str, array: Array, size: tuple[int, ...]) -> Array:
    *extents, channels = array.shape
    if len(extents) != len(size) or any(n % k for n, k in zip(extents, size, strict=True)):
        raise ValueError(f"{name} {array.shape} is not filled by pieces of {size}")
    counts = [n // k for n, k in zip(extents, size, strict=True)]
    num_axes = len(size)
    apart = array
    # One axis at a time: JAX can then keep the images of a batch on several devices.
    for axis, pair in enumerate(zip(counts, size, strict=True)):
        before, after = apart.shape[: 2 * axis], apart.shape[2 * axis + 1 :]
        apart = apart.reshape(*before, *pair, *after)
    # Axes come in pairs (piece, place inside it): put those of the pieces first, then the others.
    order = [*range(0, 2 * num_axes, 2), *range(1, 2 * num_axes, 2), 2 * num_axes]
    pieces = apart.transpose(order).reshape(math.prod(counts), *size, channels)
    return pieces.reshape(math.prod(counts), math.prod(size) * channels)
