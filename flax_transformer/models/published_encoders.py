"""Published sizes of encoders: BERT and its relatives, with the settings of published configs."""

from typing import Any

from flax_transformer.models.encoder_only import EncoderOnly, EncoderOnlyConfig
from flax_transformer.models.published_size import Published, text_of


def _encoder(
    parameters: int, source: str, method: str, vocab_size: int = 30_522, **settings: Any
) -> Published:
    """An encoder with 512 positions, by default with BERT's vocabulary of word pieces."""
    config = EncoderOnlyConfig(**settings)
    width = vocab_size if method == "predict_tokens" else config.d_model
    outputs = (1, width) if method == "pool" else (1, 512, width)
    model = EncoderOnly(config, vocab_size)
    return Published(model, (text_of(512),), outputs, parameters, source, method)


def published_encoders() -> dict[str, Published]:
    """Returns the named sizes of encoders.

    Example:
        >>> published_encoders()["minilm-l6"].config.d_model
        384
    """
    return {
        # With the pooler, but without the heads for masked tokens and classes.
        "bert-base": _encoder(
            109_482_240, "Hugging Face's BertModel of bert-base-uncased", method="pool"
        ),
        "minilm-l6": _encoder(
            22_713_216,
            "config.json and tensors of sentence-transformers' all-MiniLM-L6-v2",
            "pool",
            num_layers=6,
            d_model=384,
            d_ff=1536,
        ),
        "distilbert-base": _encoder(
            66_362_880,
            "Hugging Face's DistilBertModel of distilbert-base-uncased",
            "__call__",
            num_layers=6,
            num_sentences=None,
            pooler_activation="relu",
        ),
        # With the head for masked tokens, as published. keras-hub's roberta_base_en (124,052,736)
        # lacks this head, the first two positions and the embedding of the sentence.
        "roberta-base": _encoder(
            124_697_433,
            "Hugging Face's RobertaForMaskedLM of roberta-base",
            "predict_tokens",
            50_265,
            max_positions=514,
            position_offset=2,
            num_sentences=1,
            norm_epsilon=1e-5,
        ),
        "modernbert-base": _encoder(
            149_655_232,
            "metadata of the tensors of answerdotai's ModernBERT-base",
            "predict_tokens",
            50_368,
            num_layers=22,
            d_ff=1152,
            attention_bias=False,
            attention_window=(None, 65, 65),
            attention_norm=(False, *[True] * 21),
            norm_placement="pre",
            norm_epsilon=1e-5,
            norm_bias=False,
            feed_forward_bias=False,
            activation="geglu",
            positions="rotary",
            rotary_base=(160_000.0, 10_000.0, 10_000.0),
            rotary_layout="halves",
            max_positions=8192,
            num_sentences=None,
            transform_bias=False,
            residual_dropout_rate=0.0,
            attention_dropout_rate=0.0,
        ),
    }
