import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pixels import warp_by_loops

from flax_transformer.tasks.classification.rand_augment import apply_change, names, rand_augment

SIDES = np.array([5, 7])


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).random((5, 7, 3)).astype(np.float32)


def brighten(image, strength):
    return image * (1 + 0.9 * strength)


def contrast(image, strength):
    mean = image.mean(axis=(0, 1))
    return mean + (1 + 0.9 * strength) * (image - mean)


def solarize(image, strength):
    return np.where(image < 1 - abs(strength), image, 1 - image)


def saturate(image, strength):
    changed = np.zeros_like(image)
    for place in np.ndindex(*image.shape[:2]):
        hue, saturation, value = colorsys.rgb_to_hsv(*image[place])
        saturation = min(max(saturation * (1 + 0.9 * strength), 0), 1)
        changed[place] = colorsys.hsv_to_rgb(hue, saturation, value)
    return changed


def turn(image, strength):
    angle = np.pi / 6 * strength
    cos, sin = np.cos(angle), np.sin(angle)
    return warp_by_loops(image, [[cos, sin], [-sin, cos]], (0, 0))


FORMULAS = {
    "identity": lambda image, strength: image,
    "brightness": brighten,
    "contrast": contrast,
    "solarize": solarize,
    "saturation": saturate,
    "turn": turn,
    "slant_upright": lambda x, s: warp_by_loops(x, [[1, 0], [0.3 * s, 1]], (0, 0)),
    "slant_level": lambda x, s: warp_by_loops(x, [[1, 0.3 * s], [0, 1]], (0, 0)),
    "down": lambda x, s: warp_by_loops(x, np.eye(2), (0.3 * 5 * s, 0)),
    "right": lambda x, s: warp_by_loops(x, np.eye(2), (0, 0.3 * 7 * s)),
}


@pytest.mark.parametrize("name", names(3))
@pytest.mark.parametrize("strength", [0.7, -0.4])
def test_every_change_is_its_formula(image, name, strength):
    index = jnp.int32(names(3).index(name))
    changed = jax.jit(apply_change)(jnp.asarray(image), index, jnp.float32(strength))
    expected = np.clip(FORMULAS[name](image.astype(np.float64), strength), 0, 1)
    np.testing.assert_allclose(changed, expected, atol=1e-5)


def test_gray_images_have_no_saturation():
    assert set(names(3)) - set(names(1)) == {"saturation"}


def test_each_change_is_drawn_as_often_as_another(image):
    keys = jax.random.split(jax.random.key(0), 2000)
    drawn = jax.vmap(lambda key: rand_augment(key, jnp.asarray(image), 1, 7.0))(keys)
    found = []
    for name, formula in FORMULAS.items():
        images = [np.clip(formula(image.astype(np.float64), s), 0, 1) for s in (0.7, -0.7)]
        fits = [np.abs(drawn - one).max(axis=(1, 2, 3)) < 1e-5 for one in images]
        found.append((fits[0] | fits[1]).sum())
        assert name in ("identity", "solarize") or 60 < fits[0].sum() < 140, name
    assert sum(found) == 2000
    assert min(found) > 140


def test_layers_follow_each_other(image):
    keys = jax.random.split(jax.random.key(1), 100)
    changed = {
        layers: jax.vmap(lambda key, n=layers: rand_augment(key, jnp.asarray(image), n, 9.0))(keys)
        for layers in (0, 1, 2)
    }
    unchanged = {
        layers: int((np.abs(images - image).max(axis=(1, 2, 3)) < 1e-6).sum())
        for layers, images in changed.items()
    }
    assert unchanged[0] == 100
    assert 20 > unchanged[1] > unchanged[2]
