"""Marian, the models of OPUS-MT: BART with fixed positions and without embedding norms."""

from flax_transformer.interchange.config_fields import fixed, ignored, must
from flax_transformer.interchange.families.bart import (
    SEQ2SEQ_FIELDS,
    seq2seq_family,
    seq2seq_rules,
)

# What their code computes. A folder may hold tables of other positions.
COMPUTED_POSITIONS = "sinusoidal_blocks"
FIELDS = (
    *SEQ2SEQ_FIELDS,
    fixed(positions=COMPUTED_POSITIONS, norm_placement="post"),
    must("share_encoder_decoder_embeddings", True),
    must("normalize_before", False),
    must("normalize_embedding", False),
    must("add_final_layer_norm", False),
    must("static_position_embeddings", True),
    # As vocab_size, where both sides share one table.
    ignored("decoder_vocab_size"),
)
MARIAN = seq2seq_family(FIELDS, seq2seq_rules, "MarianMTModel", COMPUTED_POSITIONS)
