"""Qwen3: Llama with normalized queries and keys."""

from flax_transformer.interchange.config_fields import Field, fixed, takes
from flax_transformer.interchange.families.llama import DECODER_FIELDS, PRE_NORM, decoder_family
from flax_transformer.interchange.families.qwen2 import NO_WINDOW
from flax_transformer.interchange.families.rotary_fields import rotary_fields

# One number for all normalizations.
EPSILON = Field(
    ("rms_norm_eps",),
    lambda config: {"query_key_norm_epsilon": config.get("rms_norm_eps", 1e-6)},
    lambda config: {},
)
FIELDS = (
    *DECODER_FIELDS,
    EPSILON,
    rotary_fields(),
    PRE_NORM,
    takes("attention_bias", "attention_bias", False),
    fixed(feed_forward_bias=False, normalize_query_key=True),
    *NO_WINDOW,
)
QWEN3 = decoder_family(FIELDS, "Qwen3ForCausalLM")
