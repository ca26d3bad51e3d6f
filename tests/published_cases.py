"""Small models of every family of published models, as the settings of their configs."""

from typing import Any, NamedTuple

VOCAB, CLASSES = 53, 5
EPSILON = 1e-3  # Large enough to be missed in float32.

ENCODER: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 36,
    "num_hidden_layers": 1,
    "num_attention_heads": 6,
    "intermediate_size": 29,
    "layer_norm_eps": EPSILON,
    "max_position_embeddings": 211,
}
DISTIL: dict[str, Any] = {
    "vocab_size": VOCAB,
    "dim": 36,
    "n_layers": 1,
    "n_heads": 6,
    "hidden_dim": 29,
    "max_position_embeddings": 211,
}
DECODER: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 36,
    "num_hidden_layers": 1,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "intermediate_size": 29,
    "rms_norm_eps": EPSILON,
}
SEQ2SEQ: dict[str, Any] = {
    "vocab_size": VOCAB,
    "d_model": 36,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 6,
    "decoder_attention_heads": 6,
    "encoder_ffn_dim": 29,
    "decoder_ffn_dim": 29,
    "max_position_embeddings": 211,
    "scale_embedding": True,
    "pad_token_id": 1,
    "decoder_start_token_id": 2,
}
T5: dict[str, Any] = {
    "vocab_size": VOCAB,
    "d_model": 36,
    "d_kv": 7,
    "d_ff": 29,
    "num_layers": 2,
    "num_decoder_layers": 1,
    "num_heads": 6,
    "layer_norm_epsilon": EPSILON,
    "decoder_start_token_id": 0,
}
SCALED = {"rope_theta": 500.0, "factor": 4.0, "original_max_position_embeddings": 64}
SCALINGS = {
    "linear": {"rope_type": "linear", "rope_theta": 500.0, "factor": 4.0},
    "llama3": {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0, **SCALED},
    "yarn": {"rope_type": "yarn", "beta_fast": 8.0, "attention_factor": 1.3, **SCALED},
}


class Case(NamedTuple):
    """A small model of transformers: its class and its config."""

    architecture: str
    settings: dict[str, Any]


CASES = {
    "gpt2": Case(
        "GPT2LMHeadModel",
        {
            "vocab_size": VOCAB,
            "n_embd": 36,
            "n_inner": 29,
            "n_layer": 2,
            "n_head": 6,
            "n_positions": 211,
            "layer_norm_epsilon": EPSILON,
        },
    ),
    "llama": Case(
        "LlamaForCausalLM",
        {
            **DECODER,
            "attention_bias": True,
            "mlp_bias": True,
            "head_dim": 10,
            "num_hidden_layers": 2,
        },
    ),
    **{
        f"llama {kind}": Case(
            "LlamaForCausalLM",
            DECODER | {"rope_parameters": scaling, "tie_word_embeddings": True},
        )
        for kind, scaling in SCALINGS.items()
    },
    "bert tokens": Case("BertForMaskedLM", {**ENCODER, "num_hidden_layers": 2}),
    "bert classes": Case("BertForSequenceClassification", {**ENCODER, "num_labels": CLASSES}),
    "vit": Case(
        "ViTForImageClassification",
        {
            **{
                k: v
                for k, v in ENCODER.items()
                if k not in ("vocab_size", "max_position_embeddings")
            },
            "num_hidden_layers": 2,
            "image_size": (15, 21),
            "patch_size": (5, 3),
            "num_labels": CLASSES,
        },
    ),
    "mistral": Case("MistralForCausalLM", {**DECODER, "sliding_window": 7}),
    "qwen2": Case("Qwen2ForCausalLM", DECODER),
    "qwen3": Case("Qwen3ForCausalLM", {**DECODER, "head_dim": 10}),
    "gemma": Case("GemmaForCausalLM", {**DECODER, "head_dim": 10}),
    "gemma2": Case(
        "Gemma2ForCausalLM",
        {
            **DECODER,
            "head_dim": 10,
            "num_hidden_layers": 2,
            "sliding_window": 7,
            "query_pre_attn_scalar": 13,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 3.0,
        },
    ),
    "smollm3": Case(
        "SmolLM3ForCausalLM",
        {
            **{**DECODER, "num_hidden_layers": 2, "no_rope_layer_interval": 2},
            **{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
        },
    ),
    "roberta tokens": Case("RobertaForMaskedLM", {**ENCODER, "type_vocab_size": 1}),
    "roberta classes": Case(
        "RobertaForSequenceClassification",
        {**ENCODER, "type_vocab_size": 1, "num_labels": CLASSES},
    ),
    "distilbert tokens": Case("DistilBertForMaskedLM", DISTIL),
    "distilbert classes": Case(
        "DistilBertForSequenceClassification", {**DISTIL, "num_labels": CLASSES}
    ),
    "modernbert": Case(
        "ModernBertForMaskedLM",
        {
            **{"vocab_size": VOCAB, "hidden_size": 36, "num_hidden_layers": 3},
            **{"num_attention_heads": 6, "intermediate_size": 29, "norm_eps": EPSILON},
            **{"layer_types": ["full_attention", "sliding_attention", "sliding_attention"]},
            **{"local_attention": 14, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
            **{"cls_token_id": 1, "sep_token_id": 2},
        },
    ),
    "t5": Case("T5ForConditionalGeneration", T5),
    "t5 1.1": Case(
        "T5ForConditionalGeneration",
        {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    ),
    "marian": Case(
        "MarianMTModel", {**SEQ2SEQ, "activation_function": "swish", "encoder_layers": 2}
    ),
    "pegasus": Case("PegasusForConditionalGeneration", SEQ2SEQ),
    "bart": Case("BartForConditionalGeneration", {**SEQ2SEQ, "scale_embedding": False}),
    "mbart": Case("MBartForConditionalGeneration", SEQ2SEQ),
    "m2m_100": Case("M2M100ForConditionalGeneration", SEQ2SEQ),
    "mixtral": Case("MixtralForCausalLM", {**DECODER, "num_local_experts": 5}),
}
