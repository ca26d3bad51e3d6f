"""Which options of a model CTranslate2's layers have, and what they are named there."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from flax_transformer.errors import UserError, option
from flax_transformer.functional.feed_forward import ACTIVATIONS
from flax_transformer.models.decoder_only import DecoderOnlyConfig

# Our activations -> members of its enumeration `Activation`; the gated ones have a second matrix.
ACTIVATION_NAMES = {
    "relu": "RELU",
    "gelu": "GELU",
    "gelu_tanh": "GELUTanh",
    "silu": "SWISH",
    "geglu": "GELU",
    "geglu_tanh": "GELUTanh",
    "swiglu": "SWISH",
}
# Schemes whose encodings are a table of positions there, whatever the length of the text; none is a
# table of zeros.
TABLES = ("sinusoidal", "sinusoidal_halves", "sinusoidal_blocks", "learned", "number", "none")
# Options of which only some values have a place.
HELD: dict[str, tuple[Any, ...]] = {
    "activation": tuple(ACTIVATION_NAMES),
    "attention_norm": (True,),
    "attention_soft_cap": (None,),
    "attention_window": (None,),
    "feed_forward": ("dense",),
    "norm": ("layer", "rms", "rms_plus_one"),
    "norm_placement": ("post", "pre", "both"),
    "normalize_query_key": (False, True),
    "positions": (*TABLES, "rotary", "t5", "alibi"),
    "rotary_scaling": ("none", "linear"),
}
# Options of which every value has a place, or that are read only with a value above or in training.
FREE = frozenset(
    {
        "attention_bias",
        "attention_dropout_rate",
        "attention_implementation",
        "attention_output_bias",
        "attention_scale",
        "balancing_weight",
        "d_ff",
        "d_model",
        "dtype",
        "embedding_norm",
        "embedding_scaling",
        "experts_per_token",
        "feed_forward_bias",
        "feed_forward_dropout_rate",
        "key_dim",
        "logits_bias",
        "logits_soft_cap",
        "max_positions",
        "norm_bias",
        "norm_epsilon",
        "num_decoder_layers",
        "num_encoder_layers",
        "num_experts",
        "num_heads",
        "num_key_value_heads",
        "num_layers",
        "position_offset",
        "query_key_norm_epsilon",
        "relative_max_distance",
        "remat",
        "residual_dropout_rate",
        "rotary_base",
        "rotary_factor",
        "rotary_first_length",
        "rotary_layout",
        "rotary_turns",
        "scan_layers",
        "share_position_table",
        "t5_max_distance",
        "t5_num_buckets",
        "tied_logits",
        "value_dim",
    }
)


def check_options(config: Any) -> None:
    """Rejects a model that CTranslate2's layers do not hold.

    Args:
        config: of a translator or of a language model.

    Raises:
        UserError: names the option and its value.
    """
    name = next(_without_place(config), None)
    if name is not None:
        raise UserError(
            f"--format ctranslate2 cannot hold {option(f'model.{name}')} {getattr(config, name)}: "
            "give --format onnx or --format stablehlo"
        )


def _without_place(config: Any) -> Iterator[str]:
    """Yields the options without a place; an option that is not listed above has its default."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        is_held = value in HELD.get(field.name, (field.default,))
        if not is_held and field.name not in FREE:
            yield field.name
    key_dim, value_dim = config.head_dims()
    if key_dim != value_dim:
        yield "key_dim" if config.value_dim is None else "value_dim"
    if isinstance(config.rotary_base, tuple):
        yield "rotary_base"
    if config.normalize_query_key and config.query_key_norm_epsilon != config.norm_epsilon:
        yield "query_key_norm_epsilon"
    if isinstance(config, DecoderOnlyConfig):
        # A prompt of several tokens gets the biases of its last token there.
        if config.positions == "t5":
            yield "positions"
        # For other numbers of heads, its slopes are those of Hugging Face's BLOOM.
        if config.positions == "alibi" and config.num_heads & (config.num_heads - 1):
            yield "num_heads"
        return
    # It has no slopes in encoders, and no such normalization in the attention to a source.
    if config.positions == "alibi":
        yield "positions"
    if config.normalize_query_key:
        yield "normalize_query_key"
    # Only its first layer computes these biases.
    if config.positions == "t5" and not config.share_position_table:
        yield "share_position_table"


def layer_options(ctranslate2: Any, config: Any) -> dict[str, Any]:
    """Returns the arguments that its encoders and its decoders share.

    Args:
        ctranslate2: the package.
        config: of a model that `check_options` accepts.
    """
    specs = ctranslate2.specs
    options = {
        "pre_norm": config.norm_placement != "post",
        "pre_post_layer_norm": config.norm_placement == "both",
        "activation": getattr(specs.Activation, ACTIVATION_NAMES[config.activation]),
        "ffn_glu": ACTIVATIONS[config.activation].is_gated,
        "rms_norm": config.norm != "layer",
        "layernorm_embedding": config.embedding_norm,
        "num_heads_kv": config.num_key_value_heads or config.num_heads,
        "head_dim": config.head_dims()[0],
        "qk_norm": config.normalize_query_key,
        "relative_attention_bias": config.positions == "t5",
    }
    if config.positions == "rotary":
        options |= {
            "rotary_dim": 0,
            "rotary_interleave": config.rotary_layout == "interleaved",
            "rotary_base": config.rotary_base,
        }
    if config.positions == "rotary" and config.rotary_scaling == "linear":
        kind = specs.attention_spec.RotaryScalingType.Linear
        options |= {"rotary_scaling_type": kind, "rotary_scaling_factor": config.rotary_factor}
    return options


def decoder_options(config: Any) -> dict[str, bool]:
    """Returns the further arguments of its decoders."""
    is_translator = not isinstance(config, DecoderOnlyConfig)
    return {
        "with_encoder_attention": is_translator,
        "external_pre_post_encoder_layers": is_translator and config.norm_placement == "both",
        "alibi": config.positions == "alibi",
    }
