"""Llama, and what all decoders of its kind have in common."""

from typing import Any

from flax_transformer.interchange.config_fields import Field, fixed, ignored, must, takes
from flax_transformer.interchange.families.activation_names import GATE_NAMES
from flax_transformer.interchange.families.rotary_fields import rotary_fields
from flax_transformer.interchange.family import Family
from flax_transformer.interchange.rules import Rule, attention, expand, norm
from flax_transformer.models.decoder_only import DecoderOnlyConfig

# Heads of keys and values; as many as of queries if not given.
GROUPS = Field(
    ("num_key_value_heads",),
    lambda config: {
        "num_key_value_heads": config.get("num_key_value_heads")
        or config.get("num_attention_heads")
    },
    lambda config: {"num_key_value_heads": config.num_key_value_heads or config.num_heads},
)


def _read_head_dim(config: Any) -> dict[str, Any]:
    width = config.get("head_dim")
    width = width or config.get("hidden_size", 0) // config.get("num_attention_heads", 1)
    return {"key_dim": width, "value_dim": width}


# Width of a head; hidden_size / num_attention_heads if not given.
HEAD_DIM = Field(("head_dim",), _read_head_dim, lambda config: {"head_dim": config.head_dims()[0]})
DECODER_FIELDS = (
    takes("hidden_size", "d_model"),
    takes("intermediate_size", "d_ff"),
    takes("num_hidden_layers", "num_layers"),
    takes("num_attention_heads", "num_heads"),
    GROUPS,
    HEAD_DIM,
    takes("hidden_act", "activation", "silu", GATE_NAMES),
    takes("rms_norm_eps", "norm_epsilon", 1e-6),
    takes("attention_dropout", "attention_dropout_rate", 0.0),
    takes("max_position_embeddings", "max_positions", 2048),
    fixed(positions="rotary", rotary_layout="halves"),
    # Training on several devices, a limit that is stated twice, and a mark of SmolLM2.
    ignored("pretraining_tp", "max_sequence_length", "is_llama_config"),
    must("rope_interleaved", False),
    must("is_decoder", False),
)
PRE_NORM = fixed(norm="rms", norm_placement="pre", embedding_scaling="none")
NO_BIAS = fixed(attention_bias=False, feed_forward_bias=False)
BIASES = (
    takes("attention_bias", "attention_bias", False),
    takes("mlp_bias", "feed_forward_bias", False),
)
FIELDS = (*DECODER_FIELDS, rotary_fields(), PRE_NORM, *BIASES)


def decoder_rules(config: Any, feed_forward: list[Rule]) -> list[Rule]:
    """Returns the rules of a decoder of this kind.

    Args:
        config: ours.
        feed_forward: the rules of the feed-forward network of a layer.
    """
    layer, ours = "model.layers.{i}", "decoder_{i}"
    heads = [f"{layer}.self_attn.{name}_proj" for name in ("q", "k", "v", "o")]
    biases = config.attention_bias, config.attention_output_bias
    layers = [
        *attention(f"{ours}/self_attention", heads, *biases),
        *feed_forward,
        *(
            rule
            for name, theirs in _norms(config).items()
            for rule in norm(f"{ours}/{name}", f"{layer}.{theirs}_layernorm", False)
        ),
    ]
    if config.normalize_query_key:
        for name, theirs in (("query_scale", "q_norm"), ("key_scale", "k_norm")):
            layers.append(
                Rule(f"{ours}/self_attention/{name}", f"{layer}.self_attn.{theirs}.weight")
            )
    own = [] if config.tied_logits else [Rule("embedding/logits_table", "lm_head.weight")]
    return [
        Rule("embedding/table", "model.embed_tokens.weight"),
        *expand(layers, config.num_layers),
        *norm("decoder_norm", "model.norm", False),
        *own,
    ]


def _norms(config: Any) -> dict[str, str]:
    """Returns the names of the norms of a layer, ours -> theirs."""
    attention, network = "self_attention_residual", "feed_forward_residual"
    if config.norm_placement != "both":
        return {f"{attention}/normalize": "input", f"{network}/normalize": "post_attention"}
    return {
        f"{attention}/normalize": "input",
        f"{attention}/normalize_output": "post_attention",
        f"{network}/normalize": "pre_feedforward",
        f"{network}/normalize_output": "post_feedforward",
    }


def rules(config: Any) -> list[Rule]:
    """Returns the rules of a decoder with a gated feed-forward network."""
    network, ours = "model.layers.{i}.mlp", "decoder_{i}/feed_forward"
    halves = f"{network}.gate_proj", f"{network}.up_proj"
    feed_forward = [
        Rule(
            f"{ours}/hidden/kernel",
            tuple(f"{x}.weight" for x in halves),
            "halves f i -> i halves f",
        ),
        Rule(f"{ours}/output/kernel", f"{network}.down_proj.weight", "o i -> i o"),
    ]
    if config.feed_forward_bias:
        hidden = tuple(f"{x}.bias" for x in halves)
        feed_forward += [
            Rule(f"{ours}/hidden/bias", hidden, "halves f -> halves f"),
            Rule(f"{ours}/output/bias", f"{network}.down_proj.bias"),
        ]
    return decoder_rules(config, feed_forward)


def decoder_family(fields: tuple[Field, ...], name: str, rules: Any = rules) -> Family:
    """Makes a family of decoders with the names of Llama's tensors."""
    return Family(
        DecoderOnlyConfig,
        fields,
        rules,
        {"": name},
        prefix="model.",
        own_logits="lm_head.weight",
        # Frequencies that older versions wrote.
        unused=(r"(.*\.)?rotary_emb\.inv_freq",),
    )


LLAMA = decoder_family(FIELDS, "LlamaForCausalLM")
