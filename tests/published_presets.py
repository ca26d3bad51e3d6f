"""The published configs of sizes in the zoo, as their config.json has them."""

from typing import Any, NamedTuple


class Preset(NamedTuple):
    """A published config: its family, its class of transformers, and its settings."""

    family: str
    architecture: str
    settings: dict[str, Any]


# Those that Mistral and Mixtral have in common.
MISTRAL_SIZES: dict[str, Any] = {
    "vocab_size": 32_000,
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 32_768,
}
# Besides gpt2-small, bert-base and ViT-B/16, which are the defaults of our configs.
PRESETS = {
    "minilm-l6": Preset(
        "bert",
        "BertModel",
        {
            "vocab_size": 30_522,
            "hidden_size": 384,
            "num_hidden_layers": 6,
            "num_attention_heads": 12,
            "intermediate_size": 1536,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1,
            "attention_probs_dropout_prob": 0.1,
            "layer_norm_eps": 1e-12,
            "max_position_embeddings": 512,
            "type_vocab_size": 2,
        },
    ),
    "distilbert-base": Preset(
        "distilbert",
        "DistilBertModel",
        {
            "vocab_size": 30_522,
            "dim": 768,
            "hidden_dim": 3072,
            "n_layers": 6,
            "n_heads": 12,
            "activation": "gelu",
            "dropout": 0.1,
            "attention_dropout": 0.1,
            "max_position_embeddings": 512,
            "sinusoidal_pos_embds": False,
        },
    ),
    # config.json of Cheng98/roberta-base, a copy of FacebookAI/roberta-base.
    "roberta-base": Preset(
        "roberta",
        "RobertaForMaskedLM",
        {
            "vocab_size": 50_265,
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1,
            "attention_probs_dropout_prob": 0.1,
            "layer_norm_eps": 1e-5,
            "max_position_embeddings": 514,
            "type_vocab_size": 1,
            "pad_token_id": 1,
        },
    ),
    "smollm2-135m": Preset(
        "llama",
        "LlamaForCausalLM",
        {
            "vocab_size": 49_152,
            "hidden_size": 576,
            "intermediate_size": 1536,
            "num_hidden_layers": 30,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-5,
            "max_position_embeddings": 8192,
            "rope_theta": 100_000.0,
            "tie_word_embeddings": True,
        },
    ),
    # config.json of MindonFire/gemma-2b, with the corrected activation.
    "gemma-2b": Preset(
        "gemma",
        "GemmaForCausalLM",
        {
            "vocab_size": 256_000,
            "hidden_size": 2048,
            "intermediate_size": 16_384,
            "num_hidden_layers": 18,
            "num_attention_heads": 8,
            "num_key_value_heads": 1,
            "head_dim": 256,
            "hidden_act": "gelu_pytorch_tanh",
            "rms_norm_eps": 1e-6,
            "max_position_embeddings": 8192,
        },
    ),
    "gemma-2-2b": Preset(
        "gemma2",
        "Gemma2ForCausalLM",
        {
            "vocab_size": 256_000,
            "hidden_size": 2304,
            "intermediate_size": 9216,
            "num_hidden_layers": 26,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 256,
            "hidden_activation": "gelu_pytorch_tanh",
            "query_pre_attn_scalar": 256,
            "sliding_window": 4096,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
            "rms_norm_eps": 1e-6,
            "max_position_embeddings": 8192,
        },
    ),
    "gemma-7b": Preset(
        "gemma",
        "GemmaForCausalLM",
        {
            "vocab_size": 256_000,
            "hidden_size": 3072,
            "intermediate_size": 24_576,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "num_key_value_heads": 16,
            "head_dim": 256,
            "hidden_act": "gelu_pytorch_tanh",
            "rms_norm_eps": 1e-6,
            "max_position_embeddings": 8192,
        },
    ),
    # config.json of dmayboroda/42_mistral_0.1, trained from Mistral-7B-v0.1.
    "mistral-7b": Preset(
        "mistral",
        "MistralForCausalLM",
        {
            **MISTRAL_SIZES,
            "rope_theta": 10_000.0,
            "sliding_window": 4096,
            "tie_word_embeddings": False,
        },
    ),
    # config.json of YeungNLP/firefly-mixtral-8x7b, trained from Mixtral-8x7B-v0.1.
    "mixtral-8x7b": Preset(
        "mixtral",
        "MixtralForCausalLM",
        {
            **MISTRAL_SIZES,
            "rope_theta": 1_000_000.0,
            "sliding_window": None,
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
            "router_aux_loss_coef": 0.02,
            "tie_word_embeddings": False,
        },
    ),
    # Qwen2-0.5B/config.json of songdo/transformers_from_scratch, a copy.
    "qwen2-0.5b": Preset(
        "qwen2",
        "Qwen2ForCausalLM",
        {
            "vocab_size": 151_936,
            "hidden_size": 896,
            "intermediate_size": 4864,
            "num_hidden_layers": 24,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-6,
            "max_position_embeddings": 131_072,
            "rope_theta": 1_000_000.0,
            "tie_word_embeddings": True,
        },
    ),
    # Qwen-3-06B/config.json of TensorStack/TextEncoder, a copy.
    "qwen3-0.6b": Preset(
        "qwen3",
        "Qwen3ForCausalLM",
        {
            "vocab_size": 151_936,
            "hidden_size": 1024,
            "intermediate_size": 3072,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-6,
            "max_position_embeddings": 40_960,
            "rope_theta": 1_000_000.0,
            "attention_bias": False,
            "tie_word_embeddings": True,
        },
    ),
    "t5-small": Preset(
        "t5",
        "T5ForConditionalGeneration",
        {
            "vocab_size": 32_128,
            "d_model": 512,
            "d_kv": 64,
            "d_ff": 2048,
            "num_layers": 6,
            "num_heads": 8,
            "relative_attention_num_buckets": 32,
            "dropout_rate": 0.1,
            "layer_norm_epsilon": 1e-6,
            "feed_forward_proj": "relu",
        },
    ),
    # config.json of Xenova/t5-v1_1-small, which has the same sizes.
    "flan-t5-small": Preset(
        "t5",
        "T5ForConditionalGeneration",
        {
            "vocab_size": 32_128,
            "d_model": 512,
            "d_kv": 64,
            "d_ff": 1024,
            "num_layers": 8,
            "num_decoder_layers": 8,
            "num_heads": 6,
            "relative_attention_num_buckets": 32,
            "relative_attention_max_distance": 128,
            "dropout_rate": 0.1,
            "layer_norm_epsilon": 1e-6,
            "feed_forward_proj": "gated-gelu",
            "tie_word_embeddings": False,
        },
    ),
    # config.json of Jiaqi7777/BART-139M-SUMMARY-v1, trained from facebook/bart-base.
    "bart-base": Preset(
        "bart",
        "BartForConditionalGeneration",
        {
            "vocab_size": 50_265,
            "d_model": 768,
            "encoder_layers": 6,
            "encoder_attention_heads": 12,
            "encoder_ffn_dim": 3072,
            "decoder_layers": 6,
            "decoder_attention_heads": 12,
            "decoder_ffn_dim": 3072,
            "activation_function": "gelu",
            "dropout": 0.1,
            "attention_dropout": 0.1,
            "activation_dropout": 0.1,
            "scale_embedding": False,
            "max_position_embeddings": 1024,
        },
    ),
    # config.json of Xenova/opus-mt-en-de, a copy of Helsinki-NLP/opus-mt-en-de.
    "opus-mt-en-de": Preset(
        "marian",
        "MarianMTModel",
        {
            "vocab_size": 58_101,
            "d_model": 512,
            "encoder_layers": 6,
            "encoder_attention_heads": 8,
            "encoder_ffn_dim": 2048,
            "decoder_layers": 6,
            "decoder_attention_heads": 8,
            "decoder_ffn_dim": 2048,
            "activation_function": "swish",
            "dropout": 0.1,
            "attention_dropout": 0.0,
            "activation_dropout": 0.0,
            "scale_embedding": True,
            "max_position_embeddings": 512,
            "pad_token_id": 58_100,
        },
    ),
    # config.json of Binaryy/pegasus-findsum, trained from google/pegasus-xsum.
    "pegasus-xsum": Preset(
        "pegasus",
        "PegasusForConditionalGeneration",
        {
            "vocab_size": 96_103,
            "d_model": 1024,
            "encoder_layers": 16,
            "encoder_attention_heads": 16,
            "encoder_ffn_dim": 4096,
            "decoder_layers": 16,
            "decoder_attention_heads": 16,
            "decoder_ffn_dim": 4096,
            "activation_function": "relu",
            "dropout": 0.1,
            "attention_dropout": 0.1,
            "activation_dropout": 0.1,
            "scale_embedding": True,
            "max_position_embeddings": 512,
        },
    ),
}
# Those that are the defaults of their config's class; the others are from published files.
BY_DEFAULT = ("distilbert-base", "gemma-2-2b", "gemma-7b", "t5-small")
