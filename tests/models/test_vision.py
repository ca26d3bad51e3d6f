import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from overfitting import fit
from parameters import draw_parameters
from reference import assert_close

from flax_transformer.errors import UserError
from flax_transformer.functional import SCHEMES, label_smoothed_cross_entropy
from flax_transformer.models import (
    VisionConfig,
    VisionTransformer,
    resize_images,
    stack_layers,
    unstack_layers,
)

BATCH, CLASSES, CHANNELS = 2, 3, 5
# Two rows of three patches.
CONFIG = VisionConfig(
    num_layers=2,
    d_model=11,
    d_ff=13,
    num_heads=2,
    key_dim=7,
    value_dim=5,
    image_size=(6, 6),
    patch_size=(3, 2),
)
IMAGES = jnp.asarray(np.random.default_rng(0).normal(size=(BATCH, 6, 6, CHANNELS)), jnp.float32)
pytestmark = pytest.mark.usefixtures("compiled_quickly")


@functools.partial(jax.jit, static_argnames=("config", "method"))
def apply(config, variables, images, method="__call__"):
    return VisionTransformer(config, CLASSES).apply(variables, images, method=method)


def represent_and_score(model: VisionTransformer, images: jax.Array) -> Any:
    return model.represent(images), model(images)


def make_model(**settings: Any) -> tuple[VisionConfig, Any]:
    config = dataclasses.replace(CONFIG, **settings)
    return config, draw_parameters(VisionTransformer(config, CLASSES), IMAGES)


@pytest.mark.parametrize(("pooling", "num_tokens"), [("class_token", 7), ("mean", 6)])
@pytest.mark.parametrize("positions", ["learned", "sinusoidal_2d", "rotary", "relative"])
def test_classes_are_scored_by_one_vector_of_the_image(pooling, num_tokens, positions):
    config, variables = make_model(pooling=pooling, positions=positions)
    hidden, scores = apply(config, variables, IMAGES, method=represent_and_score)
    hidden = np.asarray(hidden, np.float64)
    assert hidden.shape == (BATCH, num_tokens, config.d_model)
    pooled = hidden[:, 0] if pooling == "class_token" else hidden.mean(axis=1)
    head = variables["params"]["classifier"]
    assert_close(scores, pooled @ head["kernel"] + head["bias"], 1e-5)


def test_every_token_depends_on_every_patch():
    config, variables = make_model()
    jacobian = jax.jit(
        jax.jacobian(
            lambda image: jnp.sin(apply(config, variables, image[None], "represent"))[0].sum(-1)
        )
    )(IMAGES[0])
    by_patch = jnp.abs(jacobian).reshape(7, 2, 3, 3, 2, CHANNELS).max(axis=(2, 4, 5))
    assert (by_patch > 0).all()


@pytest.mark.parametrize("positions", ["none", "sinusoidal_2d", "learned"])
def test_only_positions_tell_patches_apart(positions):
    """An image whose two halves change places is the same set of patches."""
    config, variables = make_model(positions=positions)
    swapped = jnp.concatenate([IMAGES[:, 3:], IMAGES[:, :3]], axis=1)
    difference = jnp.abs(apply(config, variables, swapped) - apply(config, variables, IMAGES)).max()
    assert (difference < 1e-5) == (positions == "none")


def test_sines_of_a_model_are_those_of_rows_and_columns():
    """Two images that are alike but for their shape, four patches in a row or in a square."""
    config, variables = make_model(positions="sinusoidal_2d", pooling="mean")
    patches = IMAGES[:1, :3, :2], IMAGES[1:, :3, :2], IMAGES[:1, 3:, :2], IMAGES[1:, 3:, 4:]
    square = jnp.concatenate(
        [jnp.concatenate(patches[:2], axis=2), jnp.concatenate(patches[2:], axis=2)], axis=1
    )
    row = jnp.concatenate(patches, axis=2)
    outputs = [apply(config, variables, images) for images in (square, row)]
    assert jnp.abs(outputs[0] - outputs[1]).max() > 1e-3


@pytest.mark.parametrize("image_size", [(9, 10), (3, 4)])
@pytest.mark.parametrize("positions", SCHEMES)
def test_a_model_works_at_another_size(positions, image_size):
    config, variables = make_model(positions=positions)
    new_config, new_variables = resize_images(config, variables, image_size, "bilinear")
    images = jnp.ones((1, *image_size, CHANNELS))
    outputs = jax.eval_shape(functools.partial(apply, new_config), new_variables, images)
    assert outputs.shape == (1, CLASSES)
    shapes = jax.eval_shape(VisionTransformer(new_config, CLASSES).init, jax.random.key(0), images)
    assert jax.tree.map(jnp.shape, new_variables) == jax.tree.map(jnp.shape, shapes)


@pytest.mark.parametrize("pooling", ["class_token", "mean"])
def test_resizing_keeps_the_class_token_s_row_and_the_given_variables(pooling):
    config, variables = make_model(pooling=pooling)
    before = jax.tree.map(jnp.copy, variables)
    _, resized = resize_images(config, variables, (12, 12))
    assert jax.tree.all(jax.tree.map(lambda x, y: (x == y).all(), variables, before))
    old, new = (x["params"]["image_encoder"]["positions"]["table"] for x in (variables, resized))
    others = pooling == "class_token"
    assert (len(old), len(new)) == (6 + others, 24 + others)
    np.testing.assert_array_equal(new[:others], old[:others])
    same_config, same = resize_images(config, variables, config.image_size)
    assert_close(apply(same_config, same, IMAGES), apply(config, variables, IMAGES), 1e-5)


def test_images_that_learned_positions_are_not_for_are_refused():
    config, variables = make_model()
    with pytest.raises(ValueError, match=r"images \(1, 3, 12, 5\) are not of the size \(6, 6\)"):
        apply(config, variables, jnp.ones((1, 3, 12, CHANNELS)))


def test_every_parameter_matters():
    config, variables = make_model()
    gradients = jax.jit(
        jax.grad(lambda variables: jnp.sin(apply(config, variables, IMAGES)).sum())
    )(variables)
    for path, gradient in jax.tree.leaves_with_path(gradients):
        # A key's bias adds the same to all scores of a query, so a softmax does not see it.
        if "['key']['bias']" not in jax.tree_util.keystr(path):
            assert jnp.abs(gradient).max() > 1e-9, jax.tree_util.keystr(path)


def test_layers_within_the_model_are_stacked_and_scanned():
    config, variables = make_model()
    stacked = stack_layers(variables)
    deep = dataclasses.replace(config, scan_layers=True, remat="all")
    assert_close(apply(deep, stacked, IMAGES), apply(config, variables, IMAGES), 1e-5)
    again = unstack_layers(stacked)
    assert jax.tree.structure(again) == jax.tree.structure(variables)
    assert jax.tree.all(jax.tree.map(lambda x, y: (x == y).all(), again, variables))


def test_it_overfits_a_batch():
    model, classes = VisionTransformer(CONFIG, CLASSES), jnp.array([2, 0])

    def loss(variables: Any) -> Any:
        logits: Any = model.apply(variables, IMAGES)
        return label_smoothed_cross_entropy(logits, classes, jnp.ones(BATCH))[0] / BATCH

    first, last = fit(loss, jax.jit(model.init)(jax.random.key(0), IMAGES))
    assert first > 0.3
    assert last < 0.01


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": (224, 100)}, r"image-size \(224, 100\) is not a multiple of .*\(16, 16\)"),
        ({"image_size": (0, 16)}, r"--model.image-size must be at least 1 each way, not \(0, 16\)"),
        (
            {"patch_size": (16, -1)},
            r"--model.patch-size must be at least 1 each way, not \(16, -1\)",
        ),
        ({"num_layers": 0}, "--model.num-layers must be at least 1, not 0"),
        ({"pooling": "class"}, "unknown --model.pooling 'class': did you mean 'class_token'"),
        ({"positions": "sinus"}, "unknown --model.positions 'sinus': did you mean 'sinusoidal'"),
    ],
)
@pytest.mark.usefixtures("unchecked_types")
def test_impossible_values_are_refused_in_one_line(settings, message):
    with pytest.raises(UserError, match=message) as error:
        VisionConfig(**settings)
    assert "\n" not in str(error.value)
