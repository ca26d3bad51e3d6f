"""Gemma 2: Gemma with windows in some layers, soft caps, and norms before and after sublayers."""

from collections.abc import Mapping
from typing import Any

from flax_transformer.errors import UserError
from flax_transformer.interchange.config_fields import Field, fixed, must, takes
from flax_transformer.interchange.families.gemma import ACTIVATION
from flax_transformer.interchange.families.layer_kinds import (
    FULL,
    SLIDING,
    layer_kinds,
    shortest_period,
)
from flax_transformer.interchange.families.llama import DECODER_FIELDS, decoder_family
from flax_transformer.interchange.families.rotary_fields import rotary_fields

_WINDOW = 4096  # of a config without one


def _read_windows(config: Mapping[str, Any]) -> dict[str, Any]:
    default = [(SLIDING, FULL)[i % 2] for i in range(config["num_hidden_layers"])]
    window = config.get("sliding_window", _WINDOW)
    windows = [window if kind == SLIDING else None for kind in layer_kinds(config, default)]
    return {"attention_window": shortest_period(windows)}


def _write_windows(config: Any) -> dict[str, Any]:
    windows = [config.of_layer(i).attention_window for i in range(config.num_layers)]
    sizes = {window for window in windows if window is not None}
    if len(sizes) > 1:
        listed = ", ".join(map(str, sorted(sizes)))
        raise UserError(f"--model.attention-window {listed} (only one size, or none)")
    return {
        "layer_types": [FULL if window is None else SLIDING for window in windows],
        "sliding_window": next(iter(sizes), None),
    }


def _read_scale(config: Mapping[str, Any]) -> dict[str, Any]:
    return {"attention_scale": config.get("query_pre_attn_scalar", 256) ** -0.5}


def _write_scale(config: Any) -> dict[str, Any]:
    scale = config.attention_scale
    squared = config.head_dims()[0] if scale is None else round(scale**-2)
    if scale is not None and squared**-0.5 != scale:
        raise UserError(f"--model.attention-scale {scale} (only 1 / sqrt of a whole number)")
    return {"query_pre_attn_scalar": squared}


def _soft_cap(key: str, ours: str, default: float) -> Field:
    return Field(
        (key,),
        lambda config: {ours: config.get(key, default)},
        lambda config: {key: getattr(config, ours)},
    )


WINDOWS = Field(("layer_types", "sliding_window"), _read_windows, _write_windows)
SCALE = Field(("query_pre_attn_scalar",), _read_scale, _write_scale)
FIELDS = (
    *DECODER_FIELDS,
    ACTIVATION,
    rotary_fields(),
    WINDOWS,
    SCALE,
    _soft_cap("attn_logit_softcapping", "attention_soft_cap", 50.0),
    _soft_cap("final_logit_softcapping", "logits_soft_cap", 30.0),
    fixed(norm="rms_plus_one", norm_placement="both", embedding_scaling="inputs"),
    takes("attention_bias", "attention_bias", False),
    fixed(feed_forward_bias=False),
    must("use_bidirectional_attention", None),
)
GEMMA2 = decoder_family(FIELDS, "Gemma2ForCausalLM")
