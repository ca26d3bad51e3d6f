"""BERT, with its heads for masked tokens and for classes of texts."""

from typing import Any

from flax_transformer.interchange.config_fields import Field, ignored, must, takes
from flax_transformer.interchange.families.activation_names import ACTIVATION_NAMES
from flax_transformer.interchange.family import Family
from flax_transformer.interchange.rules import Rule, affine, attention, expand, norm
from flax_transformer.models.encoder_only import EncoderOnlyConfig

SIZES = (
    takes("hidden_size", "d_model"),
    takes("num_hidden_layers", "num_layers"),
    takes("num_attention_heads", "num_heads"),
    takes("intermediate_size", "d_ff"),
    takes("hidden_act", "activation", "gelu", ACTIVATION_NAMES),
    takes("hidden_dropout_prob", "residual_dropout_rate", 0.1),
    takes("attention_probs_dropout_prob", "attention_dropout_rate", 0.1),
    takes("layer_norm_eps", "norm_epsilon", 1e-12),
)
FIELDS: tuple[Field, ...] = (
    *SIZES,
    takes("max_position_embeddings", "max_positions", 512),
    takes("type_vocab_size", "num_sentences", 2),
    must("position_embedding_type", "absolute"),
    must("is_decoder", False),
    must("add_cross_attention", False),
    # Sizes of a pooler that was never used.
    ignored("pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers"),
    ignored("pooler_size_per_head", "pooler_type", "directionality"),
)


def body(config: Any, prefix: str) -> list[Rule]:
    """Returns the rules of embeddings and layers, whose names begin with a prefix."""
    embeddings, layer, ours = f"{prefix}embeddings", f"{prefix}encoder.layer.{{i}}", "encoder_{i}"
    heads = [f"{layer}.attention.self.{name}" for name in ("query", "key", "value")]
    encoder = [
        *attention(f"{ours}/attention", [*heads, f"{layer}.attention.output.dense"]),
        *norm(f"{ours}/attention_residual/normalize", f"{layer}.attention.output.LayerNorm"),
        *affine(f"{ours}/feed_forward/hidden", f"{layer}.intermediate.dense"),
        *affine(f"{ours}/feed_forward/output", f"{layer}.output.dense"),
        *norm(f"{ours}/feed_forward_residual/normalize", f"{layer}.output.LayerNorm"),
    ]
    return [
        Rule("embedding/table", f"{embeddings}.word_embeddings.weight"),
        Rule("positions/table", f"{embeddings}.position_embeddings.weight"),
        Rule("sentence_embedding/table", f"{embeddings}.token_type_embeddings.weight"),
        *norm("embedding_norm", f"{embeddings}.LayerNorm"),
        *expand(encoder, config.num_layers),
    ]


def rules(config: Any) -> list[Rule]:
    """Returns the rules of BERT."""
    head, own = "cls.predictions", []
    if not config.tied_logits:
        own = [Rule("embedding/logits_table", f"{head}.decoder.weight", part="tokens")]
    return [
        *body(config, "bert."),
        *affine("token_transform", f"{head}.transform.dense", part="tokens"),
        *norm("token_norm", f"{head}.transform.LayerNorm", part="tokens"),
        Rule("token_bias/bias", f"{head}.bias", part="tokens"),
        *own,
        *affine("pooler", "bert.pooler.dense", part="pool"),
        *affine("classifier", "classifier", part="classes"),
    ]


BERT = Family(
    EncoderOnlyConfig,
    FIELDS,
    rules,
    {
        "classes": "BertForSequenceClassification",
        "tags": "BertForTokenClassification",
        "tokens": "BertForMaskedLM",
        "": "BertModel",
    },
    prefix="bert.",
    own_logits="cls.predictions.decoder.weight",
    copies={r"cls\.predictions\.decoder\.bias": "cls.predictions.bias"},
    # Numbers of positions, and the head that predicts whether one text follows another.
    unused=(r"(.*\.)?position_ids", r"cls\.seq_relationship\.(weight|bias)"),
    renamed={r"LayerNorm\.gamma$": "LayerNorm.weight", r"LayerNorm\.beta$": "LayerNorm.bias"},
)
