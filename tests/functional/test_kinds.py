"""Arrays of the wrong type are refused, never read with another meaning."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from function_examples import EXAMPLES, Draw

from flax_transformer import functional
from flax_transformer.models import (
    DecoderOnly,
    DecoderOnlyConfig,
    EncoderDecoder,
    EncoderDecoderConfig,
    EncoderOnly,
    EncoderOnlyConfig,
)
from flax_transformer.modules import (
    BatchNorm,
    DecoderLayer,
    EncoderLayer,
    LayerOptions,
    MultiHeadAttention,
)
from flax_transformer.visualization.attention_maps import plot_mask

pytestmark = pytest.mark.usefixtures("unchecked_types")
OPTIONS = LayerOptions(num_heads=3, d_model=6, d_ff=7)
HIDDEN = jnp.ones((2, 5, 6))
ADDITIVE = jnp.where(jnp.tri(5, dtype=bool), 0.0, -1e9)[None]
ONES = jnp.tri(5, dtype=jnp.int32)[None]


def apply(module: Any, *inputs: Any, **options: Any) -> Any:
    return module.init(jax.random.key(0), *inputs, **options)


def in_module(mask: Any) -> Any:
    module = MultiHeadAttention(OPTIONS)

    def attend_to_self(module, x):
        return module(x, module.keys_values(x), mask=mask)

    return module.init(jax.random.key(0), HIDDEN, method=attend_to_self)


def in_function(implementation: Any) -> Callable[[Any], Any]:
    heads = HIDDEN.reshape(2, 5, 3, 2)
    return lambda mask: functional.multi_head_attend(
        heads, heads, heads, mask=mask, implementation=implementation
    )


TAKE_A_MASK: dict[str, Callable[[Any], Any]] = {
    "attend": lambda mask: functional.attend(HIDDEN[0], HIDDEN[0], HIDDEN[0], mask=mask[0]),
    **{
        f"multi_head_attend, {implementation}": in_function(implementation)
        for implementation in ("auto", "xla", "blockwise", "cudnn")
    },
    "combine_masks": lambda mask: functional.combine_masks(functional.causal_mask(5), mask[0]),
    "combine_masks of one": lambda mask: functional.combine_masks(None, mask),
    "lineage_mask": lambda mask: functional.lineage_mask(mask, jnp.zeros((1, 5), jnp.int32), 1),
    "MultiHeadAttention": in_module,
    "EncoderLayer": lambda mask: apply(
        EncoderLayer(OPTIONS), HIDDEN, functional.Layout(jnp.repeat(mask, 2, axis=0))
    ),
    "DecoderLayer": lambda mask: apply(
        DecoderLayer(OPTIONS), HIDDEN, functional.Layout(jnp.repeat(mask, 2, axis=0))
    ),
    "plot_mask": lambda mask: plot_mask(mask[0], list("abcde")),
}


@pytest.mark.parametrize("name", TAKE_A_MASK)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_mask_that_is_added_to_scores_is_refused(name, dtype):
    with pytest.raises(
        ValueError, match=rf"mask is {dtype}, but must be boolean.* give it as bias"
    ):
        TAKE_A_MASK[name](ADDITIVE.astype(dtype))


@pytest.mark.parametrize("name", TAKE_A_MASK)
@pytest.mark.parametrize("dtype", ["int32", "int8", "uint8"])
def test_a_mask_of_integers_is_refused(name, dtype):
    message = rf"mask is {dtype}, but must be boolean.* compare it: mask != 0; .* give it as bias"
    with pytest.raises(ValueError, match=message):
        TAKE_A_MASK[name](ONES.astype(dtype))


@pytest.mark.parametrize("name", [name for name in TAKE_A_MASK if "cudnn" not in name])
def test_the_same_mask_is_taken_as_booleans(name):
    TAKE_A_MASK[name](ONES != 0)


TAKE_IS_TOKEN: dict[str, Callable[[Any], Any]] = {
    **{
        name: lambda is_token, pool=pool: pool(HIDDEN[0], is_token[0])
        for name, pool in functional.POOLINGS.items()
    },
    "batch_statistics": lambda is_token: functional.batch_statistics(HIDDEN, is_token),
    "BatchNorm": lambda is_token: apply(BatchNorm(), HIDDEN, is_token, False),
    "lay_out_cached": lambda is_token: functional.lay_out_cached(is_token, jnp.int32(0), 1),
}


@pytest.mark.parametrize("name", TAKE_IS_TOKEN)
@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_which_places_are_tokens_is_told_by_booleans(name, dtype):
    is_token = jnp.array([[1, 1, 1, 0, 0]] * 2)
    TAKE_IS_TOKEN[name](is_token != 0)
    with pytest.raises(ValueError, match=f"is_token is {dtype}, but must be boolean"):
        TAKE_IS_TOKEN[name](is_token.astype(dtype))


TAKE_BIAS = ["attend", "attention_scores", "multi_head_attend"]
TAKE_DROPOUT = ["attend", "weighted_values", "multi_head_attend", "feed_forward"]


@pytest.mark.parametrize(
    ("name", "argument", "instead"),
    [
        *((name, "bias", "it as mask") for name in TAKE_BIAS),
        *((name, "dropout", "the factors of dropout_multiplier") for name in TAKE_DROPOUT),
    ],
)
def test_booleans_are_neither_a_bias_nor_factors(name, argument, instead):
    arrays = jax.tree.map(jnp.asarray, EXAMPLES[name].draw(Draw(0)))
    arrays[argument] = arrays[argument] > 0
    with pytest.raises(ValueError, match=f"{argument} is bool, but must hold numbers: .*{instead}"):
        getattr(functional, name)(**arrays, **EXAMPLES[name].options)


# (function, argument)
IDS = [
    ("convolve", "segments"),
    ("embed", "tokens"),
    ("embed_one_hot", "tokens"),
    ("label_smoothed_cross_entropy", "targets"),
    ("lay_out", "segments"),
    ("learned_positions", "positions"),
    ("lineage_mask", "lineage"),
    ("linear_cross_entropy", "targets"),
    ("padding_mask", "segments"),
    ("segment_lengths", "segments"),
    ("segment_mask", "query_segments"),
    ("segment_mask", "key_segments"),
    ("segment_positions", "segments"),
    ("token_segments", "tokens"),
]


@pytest.mark.parametrize("dtype", ["float32", "bool"])
@pytest.mark.parametrize(("name", "argument"), IDS)
def test_ids_are_integers(name, argument, dtype):
    """An additive mask given as segments would let tokens see only the padding."""
    arrays = jax.tree.map(jnp.asarray, EXAMPLES[name].draw(Draw(0)))
    arrays[argument] = arrays[argument].astype(dtype)
    with pytest.raises(ValueError, match=f"{argument} is {dtype}, but must hold integers"):
        getattr(functional, name)(**arrays, **EXAMPLES[name].options)


SIZES: Any = {"d_model": 6, "d_ff": 7, "num_heads": 3}
TOKENS = np.array([[5, 6, 7, 2]], np.int32)
MODELS = {
    "tokens": (DecoderOnly(DecoderOnlyConfig(num_layers=1, **SIZES), 11), ["segments"]),
    "texts": (EncoderOnly(EncoderOnlyConfig(num_layers=1, **SIZES), 11), ["segments", "sentences"]),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_name_what_is_of_another_type(name):
    model, options = MODELS[name]
    with pytest.raises(ValueError, match="tokens is float32, but must hold integers"):
        apply(model, jnp.asarray(TOKENS, jnp.float32))
    for option in options:
        with pytest.raises(ValueError, match="is float32, but must hold integers"):
            apply(model, TOKENS, **{option: jnp.zeros((1, 4))})


def test_a_translator_names_what_is_of_another_type():
    config = EncoderDecoderConfig(num_encoder_layers=1, num_decoder_layers=1, **SIZES)
    model = EncoderDecoder(config, 11)
    for sides in ((TOKENS.astype(np.float32), TOKENS), (TOKENS, TOKENS.astype(np.float32))):
        with pytest.raises(ValueError, match="tokens is float32, but must hold integers"):
            apply(model, *sides)
    both = {"source_segments": jnp.ones((1, 4)), "target_segments": jnp.ones((1, 4), jnp.int32)}
    with pytest.raises(ValueError, match="segments is float32, but must hold integers"):
        apply(model, TOKENS, TOKENS, **both)


INTEGERS = jnp.arange(12).reshape(3, 4)
TAKE_FLOATS: dict[str, Callable[[], Any]] = {
    "attend": lambda: functional.attend(INTEGERS, INTEGERS * 1.0, INTEGERS * 1.0),
    "attend, values": lambda: functional.attend(INTEGERS * 1.0, INTEGERS * 1.0, INTEGERS),
    "multi_head_attend": lambda: functional.multi_head_attend(*[INTEGERS.reshape(1, 3, 2, 2)] * 3),
    "layer_norm": lambda: functional.layer_norm(INTEGERS, jnp.ones(4), jnp.zeros(4)),
    "rms_norm": lambda: functional.rms_norm(INTEGERS, jnp.ones(4)),
    "mean_of_tokens": lambda: functional.mean_of_tokens(INTEGERS),
}


@pytest.mark.parametrize("name", TAKE_FLOATS)
def test_integers_are_refused_where_results_would_be_cut_to_integers(name):
    with pytest.raises(ValueError, match="is int32, but must be of a floating type: convert it"):
        TAKE_FLOATS[name]()


def test_attention_of_more_than_one_head_says_what_to_call():
    with pytest.raises(ValueError, match=r"query \(2, 5, 6\).* one head: .* multi_head_attend"):
        functional.attend(HIDDEN, HIDDEN, HIDDEN)
