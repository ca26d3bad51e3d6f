"""M2M100 and NLLB, of many languages: Pegasus with fairseq's positions and no bias of logits."""

from flax_transformer.interchange.config_fields import fixed
from flax_transformer.interchange.families.bart import (
    SEQ2SEQ_FIELDS,
    seq2seq_family,
    seq2seq_rules,
)
from flax_transformer.interchange.families.roberta import PADDING

COMPUTED_POSITIONS = "sinusoidal_halves"
FIELDS = (
    *SEQ2SEQ_FIELDS,
    PADDING,
    fixed(positions=COMPUTED_POSITIONS, norm_placement="pre", logits_bias=False),
)
M2M_100 = seq2seq_family(FIELDS, seq2seq_rules, "M2M100ForConditionalGeneration")._replace(
    computed_positions=COMPUTED_POSITIONS,
    # Tables of positions that older versions wrote.
    unused=(r"model\.(encoder|decoder)\.embed_positions\.weights",),
)
