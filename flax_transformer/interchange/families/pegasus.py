"""Pegasus: Marian with pre-norm, as our own translators may have."""

from flax_transformer.interchange.config_fields import fixed, must
from flax_transformer.interchange.families.bart import (
    SEQ2SEQ_FIELDS,
    seq2seq_family,
    seq2seq_rules,
)
from flax_transformer.interchange.families.marian import COMPUTED_POSITIONS

FIELDS = (
    *SEQ2SEQ_FIELDS,
    fixed(positions=COMPUTED_POSITIONS, norm_placement="pre"),
    must("normalize_before", True),
    must("normalize_embedding", False),
    must("add_final_layer_norm", True),
    must("static_position_embeddings", True),
)
PEGASUS = seq2seq_family(
    FIELDS, seq2seq_rules, "PegasusForConditionalGeneration", COMPUTED_POSITIONS
)
