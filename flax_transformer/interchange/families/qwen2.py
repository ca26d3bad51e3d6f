"""Qwen2: Llama with biases of queries, keys and values."""

from collections.abc import Mapping
from typing import Any

from flax_transformer.errors import UserError
from flax_transformer.interchange.config_fields import Field, fixed, ignored, must
from flax_transformer.interchange.families.llama import DECODER_FIELDS, PRE_NORM, decoder_family
from flax_transformer.interchange.families.rotary_fields import rotary_fields


def _full(config: Mapping[str, Any]) -> dict[str, Any]:
    if kinds := set(config.get("layer_types") or ()) - {"full_attention"}:
        raise UserError(f"layer_types has {', '.join(kinds)}, but only full_attention is known")
    return {}


# Windows of attention, which no published model uses.
NO_WINDOW = (
    Field(("layer_types",), _full, lambda config: {}),
    must("use_sliding_window", False),
    ignored("sliding_window", "max_window_layers"),
)
BIAS = fixed(attention_bias=True, attention_output_bias=False, feed_forward_bias=False)
FIELDS = (*DECODER_FIELDS, rotary_fields(), PRE_NORM, BIAS, *NO_WINDOW)
QWEN2 = decoder_family(FIELDS, "Qwen2ForCausalLM")
