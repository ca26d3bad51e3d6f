"""T5: the first models and T5 1.1, which includes Flan."""

from collections.abc import Mapping
from typing import Any

from flax_transformer.errors import UserError
from flax_transformer.interchange.config_fields import Field, fixed, ignored, must, takes
from flax_transformer.interchange.families.activation_names import ACTIVATION_NAMES, GATE_NAMES
from flax_transformer.interchange.family import Family
from flax_transformer.interchange.rules import Rule, attention, expand, norm
from flax_transformer.models.encoder_decoder import EncoderDecoderConfig

GATED = "gated-"


def _read_activation(config: Mapping[str, Any]) -> dict[str, Any]:
    name = config.get("feed_forward_proj", "relu")
    # Their gated gelu is the approximation.
    known, name = (
        (GATE_NAMES | {"gelu": "geglu_tanh"}, name.removeprefix(GATED))
        if name.startswith(GATED)
        else (ACTIVATION_NAMES, name)
    )
    if name not in known:
        raise UserError(f"feed_forward_proj is {name}, but only {', '.join(known)} are known")
    return {"activation": known[name]}


def _write_activation(config: Any) -> dict[str, Any]:
    plain = {ours: theirs for theirs, ours in reversed(ACTIVATION_NAMES.items())}
    gated = {"geglu_tanh": "gated-gelu", "swiglu": "gated-silu"}
    if config.activation not in plain | gated:
        known = ", ".join(plain | gated)
        raise UserError(f"--model.activation {config.activation} (only {known})")
    return {"feed_forward_proj": (plain | gated)[config.activation]}


def _read_scaling(config: Mapping[str, Any]) -> dict[str, Any]:
    divides = config.get("scale_decoder_outputs", config.get("tie_word_embeddings", True))
    return {"embedding_scaling": "logits" if divides else "none"}


def _write_scaling(config: Any) -> dict[str, Any]:
    divides = config.embedding_scaling == "logits"
    return {"scale_decoder_outputs": divides, "tie_word_embeddings": divides}


def _read_layers(config: Mapping[str, Any]) -> dict[str, Any]:
    number = config.get("num_layers")
    if number is None:
        raise UserError("num_layers is missing")
    decoder = config.get("num_decoder_layers")
    return {
        "num_encoder_layers": number,
        "num_decoder_layers": number if decoder is None else decoder,
    }


def _write_layers(config: Any) -> dict[str, Any]:
    return {
        "num_layers": config.num_encoder_layers,
        "num_decoder_layers": config.num_decoder_layers,
    }


FIELDS = (
    takes("d_model", "d_model"),
    takes("d_ff", "d_ff"),
    takes("num_heads", "num_heads"),
    Field(
        ("d_kv",),
        lambda config: dict.fromkeys(("key_dim", "value_dim"), config.get("d_kv", 64)),
        lambda config: {"d_kv": config.head_dims()[0]},
    ),
    Field(("num_layers", "num_decoder_layers"), _read_layers, _write_layers),
    takes("layer_norm_epsilon", "norm_epsilon", 1e-6),
    takes("dropout_rate", "residual_dropout_rate", 0.1),
    takes("relative_attention_num_buckets", "t5_num_buckets", 32),
    takes("relative_attention_max_distance", "t5_max_distance", 128),
    Field(("feed_forward_proj",), _read_activation, _write_activation),
    Field(("scale_decoder_outputs", "tie_word_embeddings"), _read_scaling, _write_scaling),
    fixed(positions="t5", share_position_table=True, attention_scale=1.0),
    fixed(norm="rms", norm_placement="pre", feed_forward_bias=False, attention_bias=False),
    must("is_decoder", False),
    # What feed_forward_proj says too, and a limit that relative positions do not have.
    ignored("dense_act_fn", "is_gated_act", "n_positions"),
)


def _side(side: str, gated: bool) -> list[Rule]:
    """Returns the rules of one layer of the encoder or of the decoder."""
    ours, block = f"{side}_{{i}}", f"{side}.block.{{i}}.layer"
    to_self = "attention" if side == "encoder" else "self_attention"
    last = 1 if side == "encoder" else 2
    network, hidden = f"{block}.{last}.DenseReluDense", f"{ours}/feed_forward/hidden/kernel"

    def names(theirs: str) -> list[str]:
        return [f"{block}.{theirs}.{name}" for name in ("q", "k", "v", "o")]

    rules = [
        *attention(f"{ours}/{to_self}", names("0.SelfAttention"), False),
        *norm(f"{ours}/{to_self}_residual/normalize", f"{block}.0.layer_norm", False),
        *norm(f"{ours}/feed_forward_residual/normalize", f"{block}.{last}.layer_norm", False),
        Rule(f"{ours}/feed_forward/output/kernel", f"{network}.wo.weight", "o i -> i o"),
    ]
    if gated:
        halves = f"{network}.wi_0.weight", f"{network}.wi_1.weight"
        rules.append(Rule(hidden, halves, "halves f i -> i halves f"))
    else:
        rules.append(Rule(hidden, f"{network}.wi.weight", "f i -> i f"))
    if side == "decoder":
        rules += attention(f"{ours}/cross_attention", names("1.EncDecAttention"), False)
        cross = f"{ours}/cross_attention_residual/normalize"
        rules += norm(cross, f"{block}.1.layer_norm", False)
    return rules


def rules(config: Any) -> list[Rule]:
    """Returns the rules of T5, whose first layers hold the tables of positions."""
    gated = config.activation in GATE_NAMES.values()
    table = "block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    own = [] if config.tied_logits else [Rule("embedding/logits_table", "lm_head.weight")]
    return [
        Rule("embedding/table", "shared.weight"),
        *expand(_side("encoder", gated), config.num_encoder_layers),
        *expand(_side("decoder", gated), config.num_decoder_layers),
        *(
            rule
            for side in ("encoder", "decoder")
            for rule in (
                Rule(f"{side}_positions/table", f"{side}.{table}", "buckets h -> h buckets"),
                *norm(f"{side}_norm", f"{side}.final_layer_norm", False),
            )
        ),
        *own,
    ]


T5 = Family(
    EncoderDecoderConfig,
    FIELDS,
    rules,
    {"": "T5ForConditionalGeneration"},
    own_logits="lm_head.weight",
    copies={r"(encoder|decoder)\.embed_tokens\.weight": "shared.weight"},
    # A table that the first models' code made and never read.
    unused=(r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight",),
)
