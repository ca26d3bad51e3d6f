"""ModernBERT: a pre-norm BERT with rotary positions, windows in most layers and gated networks."""

from collections.abc import Mapping
from typing import Any

from flax_transformer.errors import UserError
from flax_transformer.interchange.config_fields import Field, fixed, ignored, must, takes
from flax_transformer.interchange.families.activation_names import GATE_NAMES
from flax_transformer.interchange.families.layer_kinds import (
    FULL,
    SLIDING,
    layer_kinds,
    shortest_period,
)
from flax_transformer.interchange.family import Family
from flax_transformer.interchange.rules import Rule, affine, expand, norm
from flax_transformer.models.encoder_only import EncoderOnlyConfig

# Of a config without them: tokens of a window, both sides together, and layers until one is global.
WINDOW, EVERY = 128, 3
# Bases of rotary positions, and their older keys.
BASES = {FULL: 160_000.0, SLIDING: 10_000.0}
OLDER_KEYS = {FULL: "global_rope_theta", SLIDING: "local_rope_theta"}


def _kinds(config: Mapping[str, Any]) -> list[str]:
    every = config.get("global_attn_every_n_layers", EVERY)
    default = [SLIDING if i % every else FULL for i in range(config["num_hidden_layers"])]
    return list(layer_kinds(config, default))


def _read_windows(config: Mapping[str, Any]) -> dict[str, Any]:
    # Ours counts the token itself.
    window = config.get("local_attention", WINDOW) // 2 + 1
    return {"attention_window": shortest_period([{SLIDING: window}.get(x) for x in _kinds(config)])}


def _of_kinds(config: Any, name: str) -> dict[str, Any]:
    """Returns the value of an option for each kind of layers, which must have it in common."""
    values: dict[str, Any] = {}
    for options in map(config.of_layer, range(config.num_layers)):
        kind = FULL if options.attention_window is None else SLIDING
        if values.setdefault(kind, getattr(options, name)) != getattr(options, name):
            raise UserError(
                f"--model.{name.replace('_', '-')} {getattr(config, name)} (only one value of "
                "all layers with a window, and one of all without)"
            )
    return values


def _write_windows(config: Any) -> dict[str, Any]:
    windows = [config.of_layer(i).attention_window for i in range(config.num_layers)]
    window = _of_kinds(config, "attention_window").get(SLIDING, WINDOW // 2 + 1)
    return {
        "layer_types": [FULL if x is None else SLIDING for x in windows],
        "local_attention": 2 * (window - 1),
    }


def _read_bases(config: Mapping[str, Any]) -> dict[str, Any]:
    newer, bases = config.get("rope_parameters") or {}, {}
    for kind, default in BASES.items():
        given = {"rope_type": "default", **(newer.get(kind) or {})}
        bases[kind] = float(given.pop("rope_theta", config.get(OLDER_KEYS[kind], default)))
        if given != {"rope_type": "default"}:
            raise UserError(f"rope_parameters of {kind} has {given}, but no scaling is known here")
    if unknown := sorted(newer.keys() - BASES.keys()):
        raise UserError(f"{', '.join(unknown)} of rope_parameters is unknown")
    return {"rotary_base": shortest_period([bases[kind] for kind in _kinds(config)])}


def _write_bases(config: Any) -> dict[str, Any]:
    bases = BASES | _of_kinds(config, "rotary_base")
    return {
        "rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": base} for kind, base in bases.items()
        }
    }


def _read_norms(config: Mapping[str, Any]) -> dict[str, Any]:
    # The first layer reads the embeddings, which are normalized.
    return {"attention_norm": shortest_period([i > 0 for i in range(config["num_hidden_layers"])])}


FIELDS = (
    takes("hidden_size", "d_model"),
    takes("num_hidden_layers", "num_layers"),
    takes("num_attention_heads", "num_heads"),
    takes("intermediate_size", "d_ff"),
    takes("hidden_activation", "activation", "gelu", GATE_NAMES),
    takes("norm_eps", "norm_epsilon", 1e-5),
    takes("max_position_embeddings", "max_positions", 8192),
    takes("embedding_dropout", "residual_dropout_rate", 0.0),
    takes("attention_dropout", "attention_dropout_rate", 0.0),
    takes("mlp_dropout", "feed_forward_dropout_rate", 0.0),
    takes("attention_bias", "attention_bias", False),
    takes("mlp_bias", "feed_forward_bias", False),
    takes("norm_bias", "norm_bias", False),
    takes("classifier_bias", "transform_bias", False),
    Field((), _read_norms, lambda config: {}),
    Field(
        ("layer_types", "global_attn_every_n_layers", "local_attention"),
        _read_windows,
        _write_windows,
    ),
    Field(("rope_parameters", *OLDER_KEYS.values()), _read_bases, _write_bases),
    fixed(norm_placement="pre", positions="rotary", rotary_layout="halves", num_sentences=None),
    must("classifier_activation", "gelu"),
    must("decoder_bias", True),
    must("rope_scaling", None),
    # Of classes, of the first values, of the training, and older keys that were never read.
    ignored("classifier_pooling", "cls_token_id", "initializer_cutoff_factor"),
    ignored("deterministic_flash_attn", "reference_compile", "repad_logits_with_grad"),
    ignored("sparse_prediction", "sparse_pred_ignore_index"),
    ignored("layer_norm_eps", "position_embedding_type"),
)


def rules(config: Any) -> list[Rule]:
    """Returns the rules of ModernBERT."""
    norms = [
        rule
        for i in range(config.num_layers)
        if config.of_layer(i).attention_norm
        for rule in norm(
            f"encoder_{i}/attention_residual/normalize",
            f"model.layers.{i}.attn_norm",
            config.norm_bias,
        )
    ]
    own = []
    if not config.tied_logits:
        own = [Rule("embedding/logits_table", "decoder.weight", part="tokens")]
    return [
        Rule("embedding/table", "model.embeddings.tok_embeddings.weight"),
        *norm("embedding_norm", "model.embeddings.norm", config.norm_bias),
        *expand(_layer(config), config.num_layers),
        *norms,
        *norm("encoder_norm", "model.final_norm", config.norm_bias),
        *affine("token_transform", "head.dense", config.transform_bias, part="tokens"),
        *norm("token_norm", "head.norm", config.norm_bias, part="tokens"),
        Rule("token_bias/bias", "decoder.bias", part="tokens"),
        *own,
    ]


def _layer(config: Any) -> list[Rule]:
    """Returns the rules of a layer, without its first norm."""
    layer, ours = "model.layers.{i}", "encoder_{i}"
    kernel, bias = (
        tuple(f"{ours}/attention/{name}/{part}" for name in ("query", "key", "value"))
        for part in ("kernel", "bias")
    )
    merged, output, hidden = (f"{layer}.{name}" for name in ("attn.Wqkv", "attn.Wo", "mlp.Wi"))
    rules = [
        Rule(kernel, f"{merged}.weight", "(three heads d) i -> three i heads d"),
        Rule(f"{ours}/attention/output/kernel", f"{output}.weight", "o (heads d) -> heads d o"),
        *norm(f"{ours}/feed_forward_residual/normalize", f"{layer}.mlp_norm", config.norm_bias),
        Rule(
            f"{ours}/feed_forward/hidden/kernel", f"{hidden}.weight", "(halves f) i -> i halves f"
        ),
        *affine(f"{ours}/feed_forward/output", f"{layer}.mlp.Wo", config.feed_forward_bias),
    ]
    if config.attention_bias:
        rules.append(Rule(bias, f"{merged}.bias", "(three heads d) -> three heads d"))
        rules.append(Rule(f"{ours}/attention/output/bias", f"{output}.bias"))
    if config.feed_forward_bias:
        rules.append(
            Rule(f"{ours}/feed_forward/hidden/bias", f"{hidden}.bias", "(halves f) -> halves f")
        )
    return rules


MODERNBERT = Family(
    EncoderOnlyConfig,
    FIELDS,
    rules,
    {"tokens": "ModernBertForMaskedLM", "": "ModernBertModel"},
    prefix="model.",
    own_logits="decoder.weight",
)
