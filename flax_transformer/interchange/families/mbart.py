"""mBART, of several languages: BART with pre-norm."""

from flax_transformer.interchange.config_fields import fixed, must
from flax_transformer.interchange.families.bart import EMBEDDED_FIELDS, rules, seq2seq_family

FIELDS = (
    *EMBEDDED_FIELDS,
    fixed(norm_placement="pre"),
    must("normalize_before", True),
    must("add_final_layer_norm", True),
)
MBART = seq2seq_family(FIELDS, rules, "MBartForConditionalGeneration")
