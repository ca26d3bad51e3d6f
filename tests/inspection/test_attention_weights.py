import dataclasses
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parameters import draw_parameters
from reference import assert_close

from flax_transformer.inspection import attention_weights
from flax_transformer.models import (
    DecoderOnly,
    DecoderOnlyConfig,
    EncoderDecoder,
    EncoderDecoderConfig,
    EncoderOnly,
    EncoderOnlyConfig,
    VideoConfig,
    VideoTransformer,
    VisionConfig,
    VisionTransformer,
    stack_layers,
)
from flax_transformer.models.video import Variant
from flax_transformer.visualization import view_attention

VOCAB, BATCH, HEADS, LAYERS, DECODER_LAYERS = 19, 5, 4, 2, 3
SOURCE_LENGTH, TARGET_LENGTH, TIMES, PLACES, PATCHES = 7, 11, 7, 3, 13
SIZES: dict[str, Any] = {"d_model": 12, "d_ff": 17, "num_heads": HEADS}
RNG = np.random.default_rng(0)
SOURCE = jnp.asarray(RNG.integers(3, VOCAB, (BATCH, SOURCE_LENGTH))).at[1, 3:].set(0)
TARGET = jnp.asarray(RNG.integers(3, VOCAB, (BATCH, TARGET_LENGTH))).at[1, 4:].set(0)
PROMPT = SOURCE[:, ::-1]
IMAGES = jnp.asarray(RNG.normal(size=(BATCH, 2, 2 * PATCHES, 1)), jnp.float32)
VIDEOS = jnp.asarray(RNG.normal(size=(BATCH, 2 * TIMES, 2, 2 * PLACES, 1)), jnp.float32)


def vision(**settings: Any) -> VisionTransformer:
    config = VisionConfig(
        num_layers=LAYERS, image_size=(2, 2 * PATCHES), patch_size=(2, 2), **SIZES
    )
    return VisionTransformer(dataclasses.replace(config, **settings), num_classes=3)


def video(variant: Any, pooling: Any = "mean") -> VideoTransformer:
    config = VideoConfig(
        variant=variant,
        pooling=pooling,
        num_layers=LAYERS,
        num_time_layers=DECODER_LAYERS,
        image_size=(2, 2 * PLACES),
        patch_size=(2, 2),
        num_frames=2 * TIMES,
        **SIZES,
    )
    return VideoTransformer(config, num_classes=3)


ENCODER_DECODER = EncoderDecoder(
    EncoderDecoderConfig(num_encoder_layers=LAYERS, num_decoder_layers=DECODER_LAYERS, **SIZES),
    VOCAB,
)
DECODER_ONLY = DecoderOnly(DecoderOnlyConfig(num_layers=LAYERS, **SIZES), VOCAB)
SPACE = (LAYERS, BATCH, TIMES, HEADS, PLACES, PLACES)
TIME = (LAYERS, BATCH, PLACES, HEADS, TIMES, TIMES)
HALF = HEADS // 2
# Of each model: it, what it reads, and the shapes of its parts.
MODELS: dict[str, tuple[Any, tuple[jax.Array, ...], dict[str, tuple[int, ...]]]] = {
    "encoder_decoder": (
        ENCODER_DECODER,
        (SOURCE, TARGET),
        {
            "encoder": (LAYERS, BATCH, HEADS, SOURCE_LENGTH, SOURCE_LENGTH),
            "decoder": (DECODER_LAYERS, BATCH, HEADS, TARGET_LENGTH, TARGET_LENGTH),
            "cross": (DECODER_LAYERS, BATCH, HEADS, TARGET_LENGTH, SOURCE_LENGTH),
        },
    ),
    "decoder_only": (
        DECODER_ONLY,
        (PROMPT,),
        {"decoder": (LAYERS, BATCH, HEADS, SOURCE_LENGTH, SOURCE_LENGTH)},
    ),
    "encoder_only": (
        EncoderOnly(EncoderOnlyConfig(num_layers=LAYERS, **SIZES), VOCAB),
        (TARGET,),
        {"encoder": (LAYERS, BATCH, HEADS, TARGET_LENGTH, TARGET_LENGTH)},
    ),
    "vision": (vision(), (IMAGES,), {"encoder": (LAYERS, BATCH, HEADS, 1 + PATCHES, 1 + PATCHES)}),
    "vision, mean": (
        vision(pooling="mean"),
        (IMAGES,),
        {"encoder": (LAYERS, BATCH, HEADS, PATCHES, PATCHES)},
    ),
    "joint": (
        video("joint", pooling="class_token"),
        (VIDEOS,),
        {"encoder": (LAYERS, BATCH, HEADS, 1 + TIMES * PLACES, 1 + TIMES * PLACES)},
    ),
    "factorized_encoder": (
        video("factorized_encoder"),
        (VIDEOS,),
        {"space": SPACE, "time": (DECODER_LAYERS, BATCH, HEADS, TIMES, TIMES)},
    ),
    "factorized_encoder, class token": (
        video("factorized_encoder", pooling="class_token"),
        (VIDEOS,),
        {
            "space": (LAYERS, BATCH, TIMES, HEADS, 1 + PLACES, 1 + PLACES),
            "time": (DECODER_LAYERS, BATCH, HEADS, 1 + TIMES, 1 + TIMES),
        },
    ),
    "factorized_self_attention": (
        video("factorized_self_attention"),
        (VIDEOS,),
        {"space": SPACE, "time": TIME},
    ),
    "factorized_dot_product": (
        video("factorized_dot_product"),
        (VIDEOS,),
        {
            "space": (*SPACE[:3], HALF, *SPACE[4:]),
            "time": (*TIME[:3], HALF, *TIME[4:]),
        },
    ),
}
pytestmark = pytest.mark.usefixtures("compiled_quickly")


@pytest.fixture(scope="module")
def variables():
    return {name: draw_parameters(model, *inputs) for name, (model, inputs, _) in MODELS.items()}


@pytest.fixture(scope="module")
def weights(variables):
    return {
        name: jax.jit(lambda variables, *inputs, model=model: look(
            model, variables, *inputs
        ))(variables[name], *inputs)
        for name, (model, inputs, _) in MODELS.items()
    }  # fmt: skip


def named(*inputs: jax.Array) -> Any:
    """Inputs by name; of tokens, those of id 0 are padding."""
    if inputs[0].ndim > 2:
        return inputs
    names = ("source", "target") if len(inputs) == 2 else ("tokens",)
    segments = ("source_segments", "target_segments") if len(inputs) == 2 else ("segments",)
    marks = [(x != 0).astype(jnp.int32) for x in inputs]
    return dict(zip((*names, *segments), (*inputs, *marks), strict=True))


def look(model: Any, variables: Any, *inputs: jax.Array, **options: Any) -> Any:
    return attention_weights(model, variables, named(*inputs), **options)


def with_config(model: Any, **settings: Any) -> Any:
    return model.clone(config=dataclasses.replace(model.config, **settings))


def test_every_variant_of_video_is_here():
    assert set(get_args(Variant)) <= set(MODELS)


@pytest.mark.parametrize("name", MODELS)
class TestEveryModel:
    def test_every_layer_has_its_weights(self, weights, name):
        expected = MODELS[name][2]
        assert {part: array.shape for part, array in weights[name].items()} == expected
        for array in weights[name].values():
            # The first example has no padding, whose rows would be empty.
            sums = array[:, 0].sum(axis=-1)
            assert_close(sums, np.ones(sums.shape), 1e-5)
            first, second, *_ = (np.asarray(layer) for layer in array)
            assert not np.allclose(first, second)

    @pytest.mark.parametrize("remat", ["none", "all"])
    def test_scanned_layers_give_the_same(self, variables, weights, name, remat):
        model, inputs, _ = MODELS[name]
        scanned = with_config(model, scan_layers=True, remat=remat)
        found = look(scanned, stack_layers(variables[name]), *inputs)
        assert found.keys() == weights[name].keys()
        for part, array in found.items():
            assert_close(array, weights[name][part], 1e-5)

    def test_dropout_of_weights_is_first_seen_in_the_next_layer(self, variables, weights, name):
        model, inputs, _ = MODELS[name]
        model = with_config(model, residual_dropout_rate=0.0, attention_dropout_rate=0.5)
        keys = [jax.random.key(seed) for seed in (0, 0, 1)]
        found, again, other = (
            look(model, variables[name], *inputs, dropout_rng=key) for key in keys
        )
        first = {"factorized_self_attention": "space", "factorized_encoder": "space"}
        part = first.get(name.partition(",")[0], next(iter(found)))
        assert_close(found[part][0], weights[name][part][0], 1e-5)
        assert not np.allclose(found[part][1], weights[name][part][1], atol=1e-3)
        np.testing.assert_array_equal(found[part], again[part])
        assert not np.allclose(found[part][1], other[part][1], atol=1e-3)

    @pytest.mark.parametrize("implementation", ["blockwise", "cudnn"])
    def test_what_holds_no_weights_shows_those_of_the_formula(
        self, variables, name, implementation
    ):
        model, inputs, _ = MODELS[name]
        plain = with_config(model, dtype="bfloat16", attention_dropout_rate=0.0)
        fused = with_config(plain, attention_implementation=implementation)
        found, expected = (look(model, variables[name], *inputs) for model in (fused, plain))
        for part, array in expected.items():
            np.testing.assert_array_equal(found[part], array)


def test_nothing_attends_to_padding_or_to_later_targets(weights):
    """The second row has three source tokens, or a prompt of three on the right, and four more."""
    found = weights["encoder_decoder"]
    assert not found["encoder"][:, 1, ..., 3:].any()
    assert not found["cross"][:, 1, ..., 3:].any()
    assert not found["decoder"][:, 1, ..., 4:].any()
    assert not np.triu(found["decoder"], 1).any()
    assert not weights["encoder_only"]["encoder"][:, 1, ..., 4:].any()
    of_prompts = np.asarray(weights["decoder_only"]["decoder"])
    assert not np.triu(of_prompts, 1).any()
    assert not of_prompts[:, 1, ..., :-3].any()
    assert_close(of_prompts[:, 1, :, -3:].sum(axis=-1), np.ones((LAYERS, HEADS, 3)), 1e-5)


def test_a_first_layer_s_weights_are_the_softmax_of_its_scores(variables, weights):
    """In NumPy float64, of a layer whose inputs are seen, for each kind of attention."""
    of_model = variables["factorized_dot_product"]
    model = MODELS["factorized_dot_product"][0]
    _, state = model.apply(of_model, VIDEOS, capture_intermediates=True, mutable=["intermediates"])
    within = state["intermediates"]["space_time_encoder"]["encoder_0"]["attention_residual"]
    normalized = within["normalize"]["__call__"][0]
    inputs = np.asarray(normalized, np.float64).reshape(BATCH, TIMES, PLACES, -1)
    sequences = {"space": inputs, "time": inputs.swapaxes(1, 2)}
    for part, x in sequences.items():
        layer = of_model["params"]["space_time_encoder"]["encoder_0"][f"{part}_attention"]
        query, key = (
            np.einsum("bsnd,dhk->bshnk", x, np.asarray(layer[name]["kernel"], np.float64))
            + np.asarray(layer[name]["bias"])[:, None]
            for name in ("query", "key")
        )
        scores = np.exp(query @ key.swapaxes(-1, -2) / np.sqrt(SIZES["d_model"] / HEADS))
        expected = scores / scores.sum(axis=-1, keepdims=True)
        assert_close(weights["factorized_dot_product"][part][0], expected, 1e-5)


@pytest.mark.parametrize("variant", ["factorized_encoder", "factorized_self_attention"])
def test_space_is_that_of_each_time(variables, weights, variant):
    changed = look(MODELS[variant][0], variables[variant], VIDEOS.at[0, 4:6].add(1.0))
    difference = np.abs(changed["space"][0] - weights[variant]["space"][0]).max(axis=(2, 3, 4))
    expected = np.zeros((BATCH, TIMES), bool)
    expected[0, 2] = True
    np.testing.assert_array_equal(difference > 1e-3, expected)


def test_time_is_that_of_each_place(variables, weights):
    """Where attention over space, before it in the layer, passes nothing on."""
    name = "factorized_self_attention"
    silent = jax.tree.map(jnp.copy, variables[name])
    space = silent["params"]["space_time_encoder"]["encoder_0"]["space_attention"]
    space["output"] = jax.tree.map(jnp.zeros_like, space["output"])
    before, after = (
        look(MODELS[name][0], silent, videos)["time"][0]
        for videos in (VIDEOS, VIDEOS.at[1, :, :, 2:4].add(1.0))
    )
    expected = np.zeros((BATCH, PLACES), bool)
    expected[1, 1] = True
    changed = np.abs(after - before).max(axis=(2, 3, 4)) > 1e-3
    np.testing.assert_array_equal(changed, expected)


def test_packed_rows_do_not_see_each_other(variables):
    segments = jnp.array([[1, 1, 2, 2, 2, 2, 2], [1, 2, 2, 3, 3, 3, 4]])
    inputs = {"tokens": SOURCE[:2] + 1, "segments": segments}
    found = attention_weights(DECODER_ONLY, variables["decoder_only"], inputs)["decoder"]
    seen = np.asarray(segments[:, :, None] == segments[:, None]) & np.tri(7, dtype=bool)
    np.testing.assert_array_equal(np.asarray(found > 0).any(axis=(0, 2)), seen)


def test_statistics_of_batch_normalization_are_left_as_they_are():
    model = with_config(ENCODER_DECODER, norm="batch")
    variables = draw_parameters(model, SOURCE, TARGET)
    variables["batch_stats"] = jax.tree.map(jnp.ones_like, variables["batch_stats"])
    rng = jax.random.key(0)
    training = look(model, variables, SOURCE, TARGET, dropout_rng=rng)
    still = look(model, variables, SOURCE, TARGET)
    assert not np.allclose(training["cross"], still["cross"], atol=1e-3)
    assert all((x == 1).all() for x in jax.tree.leaves(variables["batch_stats"]))


def test_one_example_of_them_is_what_the_viewer_takes(weights):
    one = {part: array[:, 0] for part, array in weights["encoder_decoder"].items()}
    page = view_attention(one, list("abcdefg"), list("1234567890-")).page
    assert '"rollout": true' in page
