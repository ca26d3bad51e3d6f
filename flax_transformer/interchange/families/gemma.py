"""The first Gemma: Llama with scaled embeddings and normalizations by 1 + scale."""

from flax_transformer.interchange.config_fields import Field, fixed, must, takes
from flax_transformer.interchange.families.llama import DECODER_FIELDS, decoder_family
from flax_transformer.interchange.families.rotary_fields import rotary_fields

# The first folders named the exact function, but the models were trained with its approximation.
ACTIVATION = Field(
    ("hidden_activation",),
    lambda config: (
        {"activation": "geglu_tanh"} if config.get("hidden_act", "gelu") == "gelu" else {}
    ),
    lambda config: {},
)
FIELDS = (
    *DECODER_FIELDS,
    ACTIVATION,
    rotary_fields(),
    fixed(norm="rms_plus_one", norm_placement="pre", embedding_scaling="inputs"),
    takes("attention_bias", "attention_bias", False),
    fixed(feed_forward_bias=False),
    must("use_bidirectional_attention", None),
)
GEMMA = decoder_family(FIELDS, "GemmaForCausalLM")
