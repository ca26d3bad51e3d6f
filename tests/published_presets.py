"""The published configs of sizes in the zoo, as their config.json has them."""

from typing import Any, NamedTuple


class Preset(NamedTuple):
    """A published config: its family, its class of transformers, and its settings."""

    family: str
    architecture: str
    settings: dict[str, Any]


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
}
# Those that are the defaults of their config's class; the others are from published files.
BY_DEFAULT = ("distilbert-base", "gemma-7b", "t5-small")
