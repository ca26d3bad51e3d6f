"""Which parameters of every model decay, and how many layers are above each."""

import dataclasses
import functools
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_transformer.models import ZOO, DecoderOnlyConfig, EncoderDecoder, EncoderDecoderConfig
from flax_transformer.models.stacking import stack_layers
from flax_transformer.training.checkpoints.checkpoint_contents import named_leaves
from flax_transformer.training.optimizer.parameter_paths import decay_mask, layers_above

SIZES: dict[str, Any] = {"num_layers": 3, "d_model": 6, "d_ff": 7, "num_heads": 2}
IMAGES: dict[str, Any] = SIZES | {"image_size": (4, 6), "patch_size": (2, 3)}
VIDEOS: dict[str, Any] = IMAGES | {"num_frames": 4, "num_time_layers": 2}
SETTINGS = {2: SIZES, 4: IMAGES, 5: VIDEOS}
# All that a layer can learn is there: what some activations, schemes and norms add.
MORE: dict[str, Any] = {
    "activation": "geglu",
    "attention_bias": True,
    "normalize_query_key": True,
    "norm_placement": "pre",
}
TRANSLATORS = {
    scheme: EncoderDecoderConfig(
        num_encoder_layers=2,
        num_decoder_layers=3,
        d_model=6,
        d_ff=7,
        num_heads=2,
        positions=scheme,
        **MORE,
    )
    for scheme in ("learned", "relative", "t5")
}
PROJECTIONS = {f"{name}/kernel" for name in ("query", "key", "value", "output")}
FEED_FORWARD = {"hidden/kernel", "output/kernel"}


def init(name: str, scan_layers: bool = False) -> dict[str, Any]:
    """The shapes of all parameters of a model at tiny sizes, those of every head of BERT's too."""
    tokens = jnp.ones((1, 5), jnp.int32)
    if name in TRANSLATORS:
        config = dataclasses.replace(TRANSLATORS[name], scan_layers=scan_layers)
        model: Any = EncoderDecoder(config, 11)
        calls = [((tokens, tokens), "__call__")]
    else:
        entry: Any = ZOO[name]
        rank = len(entry.inputs[0].shape)
        config = dataclasses.replace(entry.model.config, **SETTINGS[rank], scan_layers=scan_layers)
        model = entry.model.clone(config=config)
        inputs = {2: tokens, 4: jnp.zeros((1, 4, 6, 3)), 5: jnp.zeros((1, 4, 4, 6, 3))}[rank]
        methods = ("predict_tokens", "classify") if name == "bert-base" else (entry.method,)
        calls = [((inputs,), method) for method in methods]
    params: dict[str, Any] = {}
    for arguments, method in calls:
        draw = functools.partial(model.init, method=method)
        params |= jax.eval_shape(draw, jax.random.key(0), *arguments)["params"]
    return params


def decayed(params: dict[str, Any]) -> set[str]:
    """The names of the parameters that decay, those of all layers as one."""
    names = {name for name, decays in named_leaves(decay_mask(params)).items() if decays}
    return {re.sub(r"(encoder|decoder)_\d+/", r"\1/", name) for name in names}


def layers(*attentions: str, side: str = "encoder") -> set[str]:
    """The matrices of a stack of layers."""
    return {f"{side}/{attention}/{name}" for attention in attentions for name in PROJECTIONS} | {
        f"{side}/feed_forward/{name}" for name in FEED_FORWARD
    }


def within(part: str, names: set[str]) -> set[str]:
    return {f"{part}/{name}" for name in names}


VIDEO = {"tubelet_embedding/kernel", "classifier/kernel"}
IMAGE = {"patch_embedding/kernel", "classifier/kernel"}
SPACE_TIME = within("space_time_encoder", layers("space_attention", "time_attention"))
TRANSLATOR = {
    "embedding/table",
    *layers("attention"),
    *layers("self_attention", "cross_attention", side="decoder"),
}
DECAYED: dict[str, set[str]] = {
    "gpt2-small": {"embedding/table"} | layers("self_attention", side="decoder"),
    "bert-base": {
        "embedding/table",
        "sentence_embedding/table",
        "pooler/kernel",
        "classifier/kernel",
        "token_transform/kernel",
        *layers("attention"),
    },
    "ViT-S/16": IMAGE | within("image_encoder", layers("attention")),
    "ViT-B/16": IMAGE | within("image_encoder", layers("attention")),
    "ViViT-B/16x2": VIDEO | within("video_encoder", layers("attention")),
    "ViViT-B/16x2-factorized-encoder": VIDEO
    | within("space_encoder", layers("attention"))
    | within("time_encoder", layers("attention")),
    "ViViT-B/16x2-factorized-self-attention": VIDEO | SPACE_TIME,
    "ViViT-B/16x2-factorized-dot-product": VIDEO | SPACE_TIME,
    **dict.fromkeys(TRANSLATORS, TRANSLATOR),
}
MODELS = list(DECAYED)


def stack_of(number: int, side: str = "encoder") -> dict[str, int]:
    """The layers above the parts of a stack, itself counted, with its last norm."""
    return {f"{side}_{i}": number - i for i in range(number)} | {f"{side}_norm": 0}


def inside(part: str, numbers: dict[str, int]) -> dict[str, int]:
    return {f"{part}/{name}": number for name, number in numbers.items()}


POOLED = {"class_token": 4, "positions": 4, **stack_of(3)}
IMAGE_ABOVE = {"patch_embedding": 4, "classifier": 0, **inside("image_encoder", POOLED)}
MEAN_POOLED = {"tubelet_embedding": 4, "classifier": 0} | inside(
    "space_time_encoder", {"positions": 4, **stack_of(3)}
)
# Common embeddings count from the deeper of the two stacks.
TRANSLATOR_ABOVE = {"embedding": 4, **stack_of(2), **stack_of(3, "decoder")}
ABOVE: dict[str, dict[str, int]] = {
    "gpt2-small": {"embedding": 4, "positions": 4, **stack_of(3, "decoder")},
    "bert-base": {
        **dict.fromkeys(("embedding", "positions", "sentence_embedding", "embedding_norm"), 4),
        **{f"encoder_{i}": 3 - i for i in range(3)},
        **dict.fromkeys(("pooler", "classifier", "token_transform", "token_norm", "token_bias"), 0),
    },
    "ViT-S/16": IMAGE_ABOVE,
    "ViT-B/16": IMAGE_ABOVE,
    "ViViT-B/16x2": {"tubelet_embedding": 4, "classifier": 0, **inside("video_encoder", POOLED)},
    "ViViT-B/16x2-factorized-encoder": {
        "tubelet_embedding": 4,
        "classifier": 0,
        **inside("space_encoder", POOLED),
        **inside("time_encoder", {"class_token": 3, "positions": 3, **stack_of(2)}),
    },
    "ViViT-B/16x2-factorized-self-attention": MEAN_POOLED,
    "ViViT-B/16x2-factorized-dot-product": MEAN_POOLED,
    "learned": TRANSLATOR_ABOVE | {"source_positions": 4, "target_positions": 4},
    "relative": TRANSLATOR_ABOVE,
    "t5": TRANSLATOR_ABOVE,
}


def test_every_kind_of_model_is_among_them():
    listed = {type(ZOO[name].config) for name in MODELS if name in ZOO}
    assert {*listed, EncoderDecoderConfig} == {type(entry.config) for entry in ZOO.values()}
    assert ABOVE.keys() == DECAYED.keys()


@pytest.mark.parametrize("name", MODELS)
def test_matrices_decay_and_nothing_else(name):
    assert decayed(init(name)) == DECAYED[name]


def test_every_kind_that_does_not_decay_is_among_the_models():
    kept = {
        "/".join(leaf.split("/")[-2:])
        for name in MODELS
        for leaf, decays in named_leaves(decay_mask(init(name))).items()
        if not decays
    }
    for kind in (
        "normalize/scale",
        "normalize/bias",
        "query/bias",
        "hidden/bias",
        "attention/query_scale",
        "attention/scheme_table",
        "positions/table",
        "source_positions/table",
        "image_encoder/class_token",
        "token_bias/bias",
    ):
        assert kind in kept


@pytest.mark.parametrize("name", MODELS)
def test_layers_above_are_counted_within_each_stack(name):
    expected, used = ABOVE[name], set()
    for leaf, number in named_leaves(layers_above(init(name))).items():
        (prefix,) = [
            prefix for prefix in expected if leaf == prefix or leaf.startswith(f"{prefix}/")
        ]
        assert number == expected[prefix], leaf
        used.add(prefix)
    assert used == set(expected)


@pytest.mark.parametrize("name", MODELS)
def test_stacked_layers_are_told_as_single_ones(name):
    single, scanned = init(name), init(name, scan_layers=True)
    assert decayed(scanned) == decayed(single)

    def filled(params):
        """Every parameter's array filled with the number of layers above it."""
        above = layers_above(params)
        return jax.tree.map(lambda p, n: np.broadcast_to(n, p.shape), params, above)

    expected = stack_layers({"params": filled(single)})["params"]
    jax.tree.map(np.testing.assert_array_equal, filled(scanned), expected)


def test_logits_of_their_own_are_of_the_head():
    config = DecoderOnlyConfig(tied_logits=False, logits_bias=True, **SIZES)
    tokens = jnp.ones((1, 5), jnp.int32)
    params = jax.eval_shape(config.build(vocab_size=11).init, jax.random.key(0), tokens)["params"]
    assert layers_above(params)["embedding"] == {"table": 4, "logits_table": 0, "bias": 0}


def test_without_layers_there_is_no_depth():
    with pytest.raises(ValueError, match="no layers encoder_0 or decoder_0"):
        layers_above({"encoder_norm": np.zeros(3)})
