"""DistilBERT: BERT without sentences, and with a pooler that ends in a relu."""

from typing import Any

from flax_transformer.interchange.config_fields import fixed, ignored, must, takes
from flax_transformer.interchange.families.activation_names import ACTIVATION_NAMES
from flax_transformer.interchange.family import Family
from flax_transformer.interchange.rules import Rule, affine, attention, expand, norm
from flax_transformer.models.encoder_only import EncoderOnlyConfig

FIELDS = (
    takes("dim", "d_model"),
    takes("hidden_dim", "d_ff"),
    takes("n_layers", "num_layers"),
    takes("n_heads", "num_heads"),
    takes("max_position_embeddings", "max_positions", 512),
    takes("activation", "activation", "gelu", ACTIVATION_NAMES),
    takes("dropout", "residual_dropout_rate", 0.1),
    takes("attention_dropout", "attention_dropout_rate", 0.1),
    fixed(num_sentences=None, pooler_activation="relu"),
    # Their table is learned in either case.
    ignored("sinusoidal_pos_embds", "qa_dropout", "seq_classif_dropout", "tie_weights_"),
    must("is_decoder", False),
)


def rules(config: Any) -> list[Rule]:
    """Returns the rules of DistilBERT."""
    layer, ours = "distilbert.transformer.layer.{i}", "encoder_{i}"
    heads = [f"{layer}.attention.{name}_lin" for name in ("q", "k", "v", "out")]
    encoder = [
        *attention(f"{ours}/attention", heads),
        *norm(f"{ours}/attention_residual/normalize", f"{layer}.sa_layer_norm"),
        *affine(f"{ours}/feed_forward/hidden", f"{layer}.ffn.lin1"),
        *affine(f"{ours}/feed_forward/output", f"{layer}.ffn.lin2"),
        *norm(f"{ours}/feed_forward_residual/normalize", f"{layer}.output_layer_norm"),
    ]
    own = []
    if not config.tied_logits:
        own = [Rule("embedding/logits_table", "vocab_projector.weight", part="tokens")]
    return [
        Rule("embedding/table", "distilbert.embeddings.word_embeddings.weight"),
        Rule("positions/table", "distilbert.embeddings.position_embeddings.weight"),
        *norm("embedding_norm", "distilbert.embeddings.LayerNorm"),
        *expand(encoder, config.num_layers),
        *affine("token_transform", "vocab_transform", part="tokens"),
        *norm("token_norm", "vocab_layer_norm", part="tokens"),
        Rule("token_bias/bias", "vocab_projector.bias", part="tokens"),
        *own,
        *affine("pooler", "pre_classifier", part="pool"),
        *affine("classifier", "classifier", part="classes"),
    ]


DISTILBERT = Family(
    EncoderOnlyConfig,
    FIELDS,
    rules,
    {
        "classes": "DistilBertForSequenceClassification",
        "tags": "DistilBertForTokenClassification",
        "tokens": "DistilBertForMaskedLM",
        "": "DistilBertModel",
    },
    prefix="distilbert.",
    own_logits="vocab_projector.weight",
    unused=(r"(.*\.)?position_ids",),
)
