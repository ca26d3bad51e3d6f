import dataclasses
import functools
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from overfitting import fit
from parameters import draw_parameters
from reference import assert_close

from flax_transformer.errors import UserError
from flax_transformer.functional import label_smoothed_cross_entropy, split_tubelets
from flax_transformer.models import VideoConfig, VideoTransformer, stack_layers
from flax_transformer.models.video import SpaceTimeEncoder, Variant
from flax_transformer.models.vision import PooledEncoder

BATCH, CLASSES, CHANNELS, TIMES, PLACES = 2, 3, 2, 3, 4
CONFIG = VideoConfig(
    num_layers=1,
    num_time_layers=1,
    d_model=11,
    d_ff=13,
    num_heads=2,
    key_dim=7,
    value_dim=5,
    image_size=(4, 6),
    patch_size=(2, 3),
    num_frames=6,
    pooling="mean",
)
VIDEOS = jnp.asarray(np.random.default_rng(0).normal(size=(BATCH, 6, 4, 6, CHANNELS)), jnp.float32)
VARIANTS = get_args(Variant)
FACTORIZED = ["factorized_self_attention", "factorized_dot_product"]
pytestmark = pytest.mark.usefixtures("compiled_quickly")


@functools.partial(jax.jit, static_argnames="config")
def apply(config, variables, videos=VIDEOS):
    return VideoTransformer(config, CLASSES).apply(variables, videos)


def make_model(variant: str, **settings: Any) -> tuple[VideoConfig, Any]:
    config = dataclasses.replace(CONFIG, variant=variant, **settings)
    return config, draw_parameters(VideoTransformer(config, CLASSES), VIDEOS)


@functools.cache
def gradients(variant: str) -> Any:
    """By the parameters and by the pixels."""
    config, variables = make_model(variant)
    total = lambda variables, videos: jnp.sin(apply(config, variables, videos)).sum()  # noqa: E731
    return jax.jit(jax.grad(total, argnums=(0, 1)))(variables, VIDEOS)


def test_all_variants_were_found():
    assert set(VARIANTS) > set(FACTORIZED)


@pytest.mark.parametrize("variant", VARIANTS)
class TestEveryVariant:
    def test_it_scores_classes_of_every_tubelet(self, variant):
        config, variables = make_model(variant)
        assert apply(config, variables).shape == (BATCH, CLASSES)
        _, by_pixel = gradients(variant)
        by_tubelet = jax.vmap(lambda x: split_tubelets(x, (2, 2, 3)))(jnp.abs(by_pixel))
        assert (by_tubelet.max(axis=-1) > 0).all()

    def test_only_positions_tell_the_order_of_times(self, variant):
        backwards = VIDEOS.reshape(BATCH, TIMES, 2, *VIDEOS.shape[2:])[:, ::-1]
        for positions in ("none", "learned"):
            config, variables = make_model(variant, positions=positions)
            turned = apply(config, variables, backwards.reshape(VIDEOS.shape))
            difference = jnp.abs(turned - apply(config, variables)).max()
            assert (difference < 1e-5) == (positions == "none")

    def test_schemes_within_attention_tell_it_too(self, variant):
        config, variables = make_model(variant, positions="relative")
        backwards = VIDEOS.reshape(BATCH, TIMES, 2, *VIDEOS.shape[2:])[:, ::-1]
        turned = apply(config, variables, backwards.reshape(VIDEOS.shape))
        assert jnp.abs(turned - apply(config, variables)).max() > 1e-3

    def test_every_parameter_matters(self, variant):
        by_parameter, _ = gradients(variant)
        for path, gradient in jax.tree.leaves_with_path(by_parameter):
            # A key's bias adds the same to all scores of a query, so a softmax does not see it.
            if "['key']['bias']" not in jax.tree_util.keystr(path):
                assert jnp.abs(gradient).max() > 1e-9, jax.tree_util.keystr(path)

    def test_scanned_layers_give_the_same(self, variant):
        config, variables = make_model(variant, num_layers=2)
        deep = dataclasses.replace(config, scan_layers=True, remat="all")
        scanned = apply(deep, stack_layers(variables))
        assert_close(scanned, apply(config, variables), 1e-5)

    def test_it_overfits_a_batch(self, variant):
        config = dataclasses.replace(CONFIG, variant=variant)
        model, classes = VideoTransformer(config, CLASSES), jnp.array([2, 0])

        def loss(variables: Any) -> Any:
            logits: Any = model.apply(variables, VIDEOS)
            return label_smoothed_cross_entropy(logits, classes, jnp.ones(BATCH))[0] / BATCH

        first, last = fit(loss, jax.jit(model.init)(jax.random.key(0), VIDEOS))
        assert first > 0.3
        assert last < 0.01

    def test_other_sizes_are_refused(self, variant):
        config, variables = make_model(variant)
        with pytest.raises(ValueError, match=r"\(1, 4, 4, 6, 2\) are not of 6 frames of the size"):
            apply(config, variables, jnp.ones((1, 4, 4, 6, CHANNELS)))


def who_sees_whom(module: Any, tokens: jax.Array, method: str = "represent") -> np.ndarray:
    """Whether the output at each time and place depends on the input at each time and place."""
    variables = draw_parameters(module, tokens, method=method)
    outputs = lambda x: jnp.sin(module.apply(variables, x, method=method))[0].sum(-1)  # noqa: E731
    depends = jnp.abs(jax.jit(jax.jacobian(outputs))(tokens))[:, 0].max(axis=-1) > 0
    return np.asarray(depends).reshape(TIMES, PLACES, TIMES, PLACES)


@pytest.fixture
def tokens(normal):
    return normal(1, TIMES * PLACES, CONFIG.d_model)


SAME_TIME = np.broadcast_to(
    np.eye(TIMES, dtype=bool)[:, None, :, None], (TIMES, PLACES, TIMES, PLACES)
)
SAME_PLACE = np.broadcast_to(np.eye(PLACES, dtype=bool)[None, :, None, :], SAME_TIME.shape)


def test_joint_attention_sees_all(tokens):
    depends = who_sees_whom(PooledEncoder(CONFIG, 1, TIMES * PLACES), tokens)
    assert depends.all()


def test_divided_heads_see_their_own_time_and_their_own_place(tokens):
    """In one layer, so no token sees one of another time at another place."""
    config = dataclasses.replace(CONFIG, variant="factorized_dot_product")
    np.testing.assert_array_equal(
        who_sees_whom(SpaceTimeEncoder(config), tokens), SAME_TIME | SAME_PLACE
    )


def test_attention_over_space_then_time_sees_all_in_one_layer(tokens):
    config = dataclasses.replace(CONFIG, variant="factorized_self_attention")
    assert who_sees_whom(SpaceTimeEncoder(config), tokens).all()


@pytest.mark.parametrize("variant", FACTORIZED)
@pytest.mark.parametrize(
    ("silent", "seen"), [("time_attention", SAME_TIME), ("space_attention", SAME_PLACE)]
)
def test_each_attention_goes_over_its_own_axis_alone(tokens, variant, silent, seen):
    """With the other one's output made zero."""
    module = SpaceTimeEncoder(dataclasses.replace(CONFIG, variant=variant))
    variables = draw_parameters(module, tokens)
    layer = variables["params"]["encoder_0"]
    layer[silent]["output"] = jax.tree.map(jnp.zeros_like, layer[silent]["output"])
    bound = module.bind(variables)
    outputs = lambda x: jnp.sin(bound.represent(x))[0].sum(-1)  # noqa: E731
    depends = jnp.abs(jax.jit(jax.jacobian(outputs))(tokens))
    actual = np.asarray(depends[:, 0].max(axis=-1) > 0).reshape(seen.shape)
    np.testing.assert_array_equal(actual, seen)


@pytest.mark.parametrize("pooling", ["class_token", "mean"])
def test_a_factorized_encoder_sees_one_time_at_a_time_before_it_sees_all(pooling):
    """What it makes of a time does not change with the frames of others."""
    config, variables = make_model("factorized_encoder", pooling=pooling)
    model = VideoTransformer(config, CLASSES)

    def of_times(videos: jax.Array) -> Any:
        state: Any
        _, state = model.apply(
            variables, videos, capture_intermediates=True, mutable=["intermediates"]
        )
        (vectors,) = state["intermediates"]["space_encoder"]["__call__"]
        return vectors.reshape(BATCH, TIMES, -1)

    before, after = of_times(VIDEOS), of_times(VIDEOS.at[:, 2:4].add(1.0))
    changed = jnp.abs(after - before).max(axis=(0, 2)) > 1e-3
    assert changed.tolist() == [False, True, False]
    np.testing.assert_array_equal(after[:, ::2], before[:, ::2])


def test_divided_heads_are_those_of_one_attention_side_by_side(tokens):
    """The scores of all heads in NumPy, each over its own axis, and one output projection."""
    config = dataclasses.replace(CONFIG, variant="factorized_dot_product", positions="none")
    module = SpaceTimeEncoder(config)
    variables = draw_parameters(module, tokens)
    layer = variables["params"]["encoder_0"]
    _, state = module.apply(
        variables,
        tokens,
        capture_intermediates=lambda _, method: method in ("__call__", "after"),
        mutable=["intermediates"],
    )
    within = state["intermediates"]["encoder_0"]
    x = np.asarray(within["attention_residual"]["normalize"]["__call__"][0][0], np.float64)
    side_by_side, kernels = [], []
    for name, seen in (("space_attention", SAME_TIME), ("time_attention", SAME_PLACE)):
        part = layer[name]
        query, key, value = (
            x @ np.asarray(part[name]["kernel"], np.float64)[:, 0] + part[name]["bias"][0]
            for name in ("query", "key", "value")
        )
        scores = np.where(seen.reshape(len(x), -1), query @ key.T / np.sqrt(7), -np.inf)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        side_by_side.append(weights / weights.sum(axis=1, keepdims=True) @ value)
        kernels.append(np.asarray(part["output"]["kernel"], np.float64)[0])
    output = np.concatenate(side_by_side, axis=1) @ np.concatenate(kernels)
    expected = tokens[0] + output + layer["space_attention"]["output"]["bias"]
    actual = within["attention_residual"]["after"][0][0]
    assert_close(actual, expected, 1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"num_frames": 31},
            "--model.num-frames 31 is not a multiple of --model.tubelet-frames 2: change one",
        ),
        ({"variant": "jiont"}, "unknown --model.variant 'jiont': did you mean 'joint'"),
        ({"variant": FACTORIZED[0]}, "does not support --model.pooling class_token: choose mean"),
        ({"positions": "sinusoidal_2d"}, "cannot distinguish times: choose learned or sinusoidal"),
        (
            {"variant": FACTORIZED[1], "pooling": "mean", "num_heads": 3},
            "halves the heads, but .* are 3 and 3: choose even numbers",
        ),
        (
            {"variant": FACTORIZED[1], "pooling": "mean", "num_key_value_heads": 1},
            "halves the heads, but .* are 12 and 1: choose even numbers",
        ),
        ({"num_time_layers": 0}, "--model.num-time-layers must be at least 1, not 0"),
    ],
)
@pytest.mark.usefixtures("unchecked_types")
def test_impossible_values_are_refused_in_one_line(settings, message):
    with pytest.raises(UserError, match=message) as error:
        VideoConfig(**settings)
    assert "\n" not in str(error.value)
