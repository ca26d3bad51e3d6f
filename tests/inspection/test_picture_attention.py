import dataclasses
import itertools
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parameters import draw_parameters
from reference import assert_close

from flax_transformer.inspection import attention_weights, image_attention, video_attention
from flax_transformer.models import (
    VideoConfig,
    VideoTransformer,
    VisionConfig,
    VisionTransformer,
)
from flax_transformer.models.video import Variant
from flax_transformer.visualization import view_attention
from flax_transformer.visualization.attention_rollout import attention_rollout

LAYERS, TIME_LAYERS, HEADS, TIMES, ROWS, COLUMNS = 2, 3, 4, 5, 1, 7
PLACES = ROWS * COLUMNS
SIZES: dict[str, Any] = {"d_model": 12, "d_ff": 13, "num_heads": HEADS, "num_layers": LAYERS}
IMAGE = np.random.default_rng(0).uniform(size=(6, 10, 1)).astype(np.float32)
VIDEO = np.random.default_rng(1).uniform(size=(10, 2, 14, 3)).astype(np.float32)
VARIANTS = get_args(Variant)
pytestmark = pytest.mark.usefixtures("compiled_quickly")


def vision(**settings: Any) -> tuple[VisionTransformer, Any]:
    config = VisionConfig(image_size=(6, 10), patch_size=(2, 2), **SIZES)
    model = VisionTransformer(dataclasses.replace(config, **settings), num_classes=3)
    return model, draw_parameters(model, jnp.asarray(IMAGE)[None])


def video(variant: Any, pooling: Any = "mean") -> tuple[VideoTransformer, Any]:
    config = VideoConfig(
        variant=variant,
        pooling=pooling,
        num_time_layers=TIME_LAYERS,
        image_size=(2, 14),
        patch_size=(2, 2),
        num_frames=10,
        **SIZES,
    )
    model = VideoTransformer(config, num_classes=3)
    return model, draw_parameters(model, jnp.asarray(VIDEO)[None])


@pytest.mark.parametrize(("pooling", "first"), [("class_token", ["[class]"]), ("mean", [])])
def test_an_image_s_patches_follow_the_class_token_row_by_row(pooling, first):
    model, variables = vision(pooling=pooling)
    arguments = image_attention(model, variables, IMAGE)
    expected = attention_weights(model, variables, jnp.asarray(IMAGE)[None])["encoder"][:, 0]
    np.testing.assert_array_equal(arguments["weights"], expected)
    places = itertools.product(range(3), range(5))
    names = [f"row {row}, column {column}" for row, column in places]
    assert arguments["tokens"] == first + names
    assert arguments["patches"] == (3, 5)
    np.testing.assert_array_equal(arguments["image"], np.broadcast_to(IMAGE, (6, 10, 3)))
    assert "Attention" in view_attention(**arguments).page


def test_an_image_of_another_size_than_the_model_s_has_its_own_grid():
    model, variables = vision(positions="sinusoidal_2d", pooling="mean")
    arguments = image_attention(model, variables, np.zeros((4, 14, 1), np.float32))
    assert arguments["patches"] == (2, 7)
    assert len(arguments["tokens"]) == arguments["weights"].shape[-1] == 14


def test_what_is_shown_may_differ_from_what_is_read():
    model, variables = vision()
    pixels = np.random.default_rng(2).integers(0, 256, (6, 10, 3), np.uint8)
    arguments = image_attention(model, variables, IMAGE - 0.5, pixels)
    np.testing.assert_array_equal(arguments["image"], pixels)
    expected = image_attention(model, variables, IMAGE - 0.5)["weights"]
    np.testing.assert_array_equal(arguments["weights"], expected)


def token(time: int, place: int, before: int = 0) -> int:
    """Where a tubelet stands, behind so many other tokens."""
    return before + time * PLACES + place


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_video_s_weights_stand_where_its_tubelets_do(variant):
    """Every weight of the parts, one by one; nothing else is there."""
    model, variables = video(variant)
    arguments = video_attention(model, variables, VIDEO)
    parts = attention_weights(model, variables, jnp.asarray(VIDEO)[None])
    parts = {part: np.asarray(array[:, 0]) for part, array in parts.items()}
    assert arguments["patches"] == (TIMES, ROWS, COLUMNS)
    assert arguments["tokens"][token(2, 3)] == "time 2, row 0, column 3"
    assert len(arguments["tokens"]) == TIMES * PLACES
    np.testing.assert_array_equal(arguments["video"], VIDEO)
    if variant == "joint":
        np.testing.assert_array_equal(arguments["weights"], parts["encoder"])
        return
    num_tokens = TIMES * PLACES
    layers = LAYERS + TIME_LAYERS if variant == "factorized_encoder" else 2 * LAYERS
    if variant == "factorized_dot_product":
        layers = LAYERS
    expected = np.zeros((layers, HEADS, num_tokens, num_tokens))
    for layer, time, a, b in itertools.product(*map(range, (LAYERS, TIMES, PLACES, PLACES))):
        place = {"factorized_self_attention": 2 * layer}.get(variant, layer)
        heads = slice(HEADS // 2 if variant == "factorized_dot_product" else HEADS)
        expected[place, heads, token(time, a), token(time, b)] = parts["space"][
            layer, time, :, a, b
        ]
    for a, b, place in itertools.product(range(TIMES), range(TIMES), range(PLACES)):
        if variant == "factorized_encoder":
            for other in range(PLACES):
                share = parts["time"][..., a, b] / PLACES
                expected[LAYERS:, :, token(a, place), token(b, other)] = share
        elif variant == "factorized_self_attention":
            of_place = parts["time"][:, place, :, a, b]
            expected[1::2, :, token(a, place), token(b, place)] = of_place
        else:
            of_place = parts["time"][:, place, :, a, b]
            expected[:, HEADS // 2 :, token(a, place), token(b, place)] = of_place
    assert_close(arguments["weights"], expected, 1e-6)
    view_attention(**arguments)


def test_class_tokens_stand_between_the_encoders():
    model, variables = video("factorized_encoder", "class_token")
    arguments = video_attention(model, variables, VIDEO)
    parts = attention_weights(model, variables, jnp.asarray(VIDEO)[None])
    names = ["[class]", *(f"[class] of time {time}" for time in range(TIMES))]
    assert arguments["tokens"][: TIMES + 2] == [*names, "time 0, row 0, column 0"]
    space, time = arguments["weights"][:LAYERS], arguments["weights"][LAYERS:]
    assert_close(time[:, :, : TIMES + 1, : TIMES + 1], parts["time"][:, 0], 1e-6)
    assert not time[:, :, TIMES + 1 :].any()
    assert not time[..., TIMES + 1 :].any()
    assert not space[:, :, 0].any()
    for index in range(TIMES):
        start = token(index, 0, TIMES + 1)
        own = [1 + index, *range(start, start + PLACES)]
        assert_close(space[:, :, own][..., own], parts["space"][:, 0, index], 1e-6)
        others = np.setdiff1d(np.arange(space.shape[-1]), own)
        assert not space[:, :, own][..., others].any()
    view_attention(**arguments)


def test_the_title_tells_space_from_time():
    titles = {variant: video_attention(*video(variant), VIDEO)["title"] for variant in VARIANTS}
    assert titles == {
        "joint": "Attention over space and time",
        "factorized_encoder": "Attention: layers 0 to 1 over space, then over time",
        "factorized_self_attention": "Attention: even layers over space, odd layers over time",
        "factorized_dot_product": "Attention: heads 0 to 1 over space, 2 to 3 over time",
    }


def without_queries(variables: Any) -> Any:
    """All scores are zero, so every token looks at all that it may look at alike."""
    return jax.tree.map_with_path(
        lambda path, x: jnp.zeros_like(x) if "'query'" in jax.tree_util.keystr(path) else x,
        variables,
    )


@pytest.mark.parametrize("pooling", ["class_token", "mean"])
def test_rollout_of_even_attention_over_an_image(pooling):
    """R_l = (1/2)^l I + (1 - (1/2)^l) J / n: in each layer half of a token stays its own."""
    model, variables = vision(pooling=pooling, num_layers=3)
    arguments = image_attention(model, without_queries(variables), IMAGE)
    rolls = attention_rollout(arguments["weights"])
    num_tokens = 15 + (pooling == "class_token")
    for layer, roll in enumerate(rolls, 1):
        kept = 0.5**layer
        expected = kept * np.eye(num_tokens) + (1 - kept) / num_tokens
        assert_close(roll, expected, 1e-6)


def test_rollout_of_the_class_token_is_a_map_of_the_image():
    """The sum over all paths from the class token back to each patch, of the model's own weights.

    Every layer on the way is left by the residual connection or by the mean of the heads.
    """
    model, variables = vision(num_layers=3)
    arguments = image_attention(model, variables, IMAGE)
    weights = np.asarray(arguments["weights"], np.float64)
    expected = np.zeros(16)
    for attends in itertools.product([False, True], repeat=3):
        reached = np.eye(16)[0]
        for layer in (2, 1, 0):
            if attends[layer]:
                reached = reached @ weights[layer].mean(axis=0)
        expected += reached / 2**3
    rolled = attention_rollout(arguments["weights"])[-1, 0]
    assert_close(rolled, expected, 1e-6)
    patches = rolled[1:].reshape(arguments["patches"])
    assert (patches > 0).all()
    assert patches.sum() + rolled[0] == pytest.approx(1)


@pytest.mark.parametrize(
    ("variant", "pooling"),
    [
        *((variant, "mean") for variant in VARIANTS),
        ("joint", "class_token"),
        ("factorized_encoder", "class_token"),
    ],
)
def test_rollout_over_a_video_follows_the_model_from_space_to_time(variant, pooling):
    """A token that may see a tubelet is reached by it, whether by one layer or several."""
    arguments = video_attention(*video(variant, pooling), VIDEO)
    rolls = attention_rollout(arguments["weights"])
    np.testing.assert_allclose(rolls.sum(axis=-1), 1, rtol=1e-5)
    readers = slice(0, 1) if pooling == "class_token" else slice(None)
    assert (rolls[-1, readers, -TIMES * PLACES :] > 0).all()
