"""RoBERTa: BERT with positions that begin at 2, one kind of sentences, and other heads."""

from typing import Any

from flax_transformer.interchange.config_fields import Field, must, takes
from flax_transformer.interchange.families.bert import SIZES, body
from flax_transformer.interchange.family import Family
from flax_transformer.interchange.rules import Rule, affine, norm
from flax_transformer.models.encoder_only import EncoderOnlyConfig

# Their positions begin after the id of padding.
PADDING = Field(
    ("pad_token_id",),
    lambda config: {"position_offset": config.get("pad_token_id", 1) + 1},
    lambda config: {"pad_token_id": (config.position_offset or 1) - 1},
)
FIELDS = (
    *SIZES,
    PADDING,
    takes("max_position_embeddings", "max_positions", 512),
    takes("type_vocab_size", "num_sentences", 2),
    must("position_embedding_type", "absolute"),
    must("is_decoder", False),
    must("add_cross_attention", False),
)


def rules(config: Any) -> list[Rule]:
    """Returns the rules of RoBERTa; its layer before the classes is our pooler."""
    own = []
    if not config.tied_logits:
        own = [Rule("embedding/logits_table", "lm_head.decoder.weight", part="tokens")]
    return [
        *body(config, "roberta."),
        *affine("token_transform", "lm_head.dense", part="tokens"),
        *norm("token_norm", "lm_head.layer_norm", part="tokens"),
        Rule("token_bias/bias", "lm_head.bias", part="tokens"),
        *own,
        *affine("pooler", "classifier.dense", part="pool"),
        *affine("classifier", "classifier.out_proj", part="classes"),
    ]


ROBERTA = Family(
    EncoderOnlyConfig,
    FIELDS,
    rules,
    {
        "classes": "RobertaForSequenceClassification",
        "tags": "RobertaForTokenClassification",
        "tokens": "RobertaForMaskedLM",
        "": "RobertaModel",
    },
    prefix="roberta.",
    own_logits="lm_head.decoder.weight",
    copies={r"lm_head\.decoder\.bias": "lm_head.bias"},
    # Numbers of positions, and a pooler that classes do not use.
    unused=(r"(.*\.)?position_ids", r"(roberta\.)?pooler\.dense\.(weight|bias)"),
)
