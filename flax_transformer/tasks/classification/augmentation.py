"""Random augmentation of images and videos, inside the compiled training step."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from flax_transformer.data.augmentation_config import AugmentationConfig
from flax_transformer.functional.row_keys import row_keys
from flax_transformer.tasks.classification.rand_augment import rand_augment
from flax_transformer.tasks.classification.warp import slant_upright, turn, warp

Image = Float[Array, "height width channels"]
Change = Callable[[PRNGKeyArray, Image], Image]
WHITE = 255.0


class Target(NamedTuple):
    """Target classes of a batch and their weights; mixup has two targets.

    Attributes:
        classes: class number of each row.
        weights: factor of each row's cross-entropy; 0 for a row that only fills the batch.
    """

    classes: Int[Array, " rows"]
    weights: Float[Array, " rows"]


Augment = Callable[[PRNGKeyArray, Array, tuple[Target, ...]], tuple[Array, tuple[Target, ...]]]
"""(random key, inputs, targets) -> augmented inputs and targets; the targets' losses are summed."""


def make_augment(config: AugmentationConfig) -> Augment | None:
    """Makes the function that augments a batch, or None if no augmentation is configured."""
    changes = _changes(config)
    if not changes and not config.mixup:
        return None

    def augment(rng, inputs, targets):
        change_rng, mixup_rng = jax.random.split(rng)
        images = inputs.astype(jnp.float32) / WHITE
        images = _change_all(change_rng, images, changes)
        if config.mixup:
            images, targets = mixup(mixup_rng, images, targets, config.mixup)
        return images * WHITE, targets

    return augment


def shift(rng: PRNGKeyArray, image: Image, most: int) -> Image:
    """Shifts an image by a uniformly random number of whole pixels; fills with black.

    Reference:
        Krizhevsky et al. 2012, section 4.1: random crops.
    """
    padded = jnp.pad(image, ((most, most), (most, most), (0, 0)))
    # One key per axis; the channel axis never moves.
    down, right, _ = jax.vmap(lambda key: jax.random.randint(key, (), 0, 2 * most + 1))(
        jax.random.split(rng, 3)
    )
    return jax.lax.dynamic_slice(padded, (down, right, 0), image.shape)


def flip(rng: PRNGKeyArray, image: Image) -> Image:
    """Mirrors an image left to right with probability 0.5."""
    return jnp.where(jax.random.bernoulli(rng), image[:, ::-1], image)


def deform(rng: PRNGKeyArray, image: Image, config: AugmentationConfig) -> Image:
    """Scales, shears and rotates an image about its center by random amounts."""
    scale, slant, rotation = jax.random.uniform(rng, (3,), minval=-1, maxval=1)
    slanted = slant_upright(jnp.tan(jnp.radians(config.slant * slant)))
    turned = turn(jnp.radians(config.rotation * rotation))
    matrix = slanted @ turned / (1 + config.scale * scale)
    return warp(image, matrix, jnp.zeros(2))


def mixup(
    rng: PRNGKeyArray,
    inputs: Float[Array, "rows ..."],
    targets: tuple[Target, ...],
    alpha: float,
) -> tuple[Float[Array, "rows ..."], tuple[Target, ...]]:
    """Mixes every row with the row before it, and the targets in the same shares.

    mixed[i] = share[i] inputs[i] + (1 - share[i]) inputs[i - 1], share[i] ~ Beta(alpha, alpha)

    The rows of a batch are in random order, so the row before is a random one. The cross-entropy is
    linear in the target, so the weighted sum of the two losses is the loss of the mixed target.
    Rows that only fill a batch are not mixed.

    Args:
        rng: random key.
        inputs: pixels.
        targets: one target, the class of each row.
        alpha: of the Beta distribution; a smaller value mixes less.

    Reference:
        Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization".
    """
    (target,) = targets
    others = jax.tree.map(lambda rows: jnp.roll(rows, 1, axis=0), target)
    is_pair = (target.weights > 0) & (others.weights > 0)
    draw = jax.vmap(lambda key: jax.random.beta(key, alpha, alpha))
    drawn = draw(row_keys(rng, len(target.weights)))
    share = jnp.where(is_pair, drawn, 1.0)
    by_row = share.reshape(-1, *[1] * (inputs.ndim - 1))
    mixed = by_row * inputs + (1 - by_row) * jnp.roll(inputs, 1, axis=0)
    first = Target(target.classes, target.weights * share)
    return mixed, (first, Target(others.classes, target.weights * (1 - share)))


def _changes(config: AugmentationConfig) -> list[Change]:
    """Lists the changes of each image, in the order of their use."""
    layers, magnitude = config.rand_augment_layers, config.rand_augment_magnitude
    is_deformed = config.rotation or config.scale or config.slant
    changes: list[tuple[object, Change]] = [
        (config.shift, lambda rng, image: shift(rng, image, config.shift)),
        (config.flip, flip),
        (is_deformed, lambda rng, image: deform(rng, image, config)),
        (layers, lambda rng, image: rand_augment(rng, image, layers, magnitude)),
    ]
    return [change for is_wanted, change in changes if is_wanted]


def _change_all(
    rng: PRNGKeyArray, images: Float[Array, "rows ..."], changes: list[Change]
) -> Float[Array, "rows ..."]:
    """Changes each image with its own random key; all frames of a video change alike."""

    def change(rng, image):
        for number, one in enumerate(changes):
            image = one(jax.random.fold_in(rng, number), image)
        return image

    if images.ndim == 5:  # of videos
        change = jax.vmap(change, in_axes=(None, 0))
    return jax.vmap(change)(row_keys(rng, len(images)), images)
