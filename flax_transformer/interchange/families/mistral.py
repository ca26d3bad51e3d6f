"""Mistral: Llama with a window of attention."""

from flax_transformer.interchange.config_fields import Field
from flax_transformer.interchange.families.llama import (
    DECODER_FIELDS,
    NO_BIAS,
    PRE_NORM,
    decoder_family,
)
from flax_transformer.interchange.families.rotary_fields import rotary_fields

WINDOW = Field(
    ("sliding_window",),
    lambda config: {"attention_window": config.get("sliding_window")},
    lambda config: {"sliding_window": config.attention_window},
)
FIELDS = (*DECODER_FIELDS, rotary_fields(), PRE_NORM, NO_BIAS, WINDOW)
MISTRAL = decoder_family(FIELDS, "MistralForCausalLM")
