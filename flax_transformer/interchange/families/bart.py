"""BART, and what other encoder-decoders have in common with it."""

from collections.abc import Mapping
from typing import Any

from flax_transformer.errors import UserError
from flax_transformer.interchange.config_fields import Field, fixed, ignored, must, takes
from flax_transformer.interchange.families.activation_names import ACTIVATION_NAMES
from flax_transformer.interchange.family import Family
from flax_transformer.interchange.rules import Rule, affine, attention, expand, norm
from flax_transformer.models.encoder_decoder import EncoderDecoderConfig


def both_sides(key: str, ours: str) -> Field:
    """Makes the field of a size that encoder and decoder must have in common."""
    keys = f"encoder_{key}", f"decoder_{key}"

    def read(config: Mapping[str, Any]) -> dict[str, Any]:
        sizes = [config.get(name) for name in keys]
        if None in sizes:
            raise UserError(f"{keys[sizes.index(None)]} is missing")
        if sizes[0] != sizes[1]:
            raise UserError(f"{keys[0]} is {sizes[0]}, but {keys[1]} is {sizes[1]}")
        return {ours: sizes[0]}

    return Field(keys, read, lambda config: dict.fromkeys(keys, getattr(config, ours)))


SEQ2SEQ_FIELDS = (
    takes("d_model", "d_model"),
    takes("encoder_layers", "num_encoder_layers"),
    takes("decoder_layers", "num_decoder_layers"),
    both_sides("attention_heads", "num_heads"),
    both_sides("ffn_dim", "d_ff"),
    takes("activation_function", "activation", "gelu", ACTIVATION_NAMES),
    takes("dropout", "residual_dropout_rate", 0.1),
    takes("attention_dropout", "attention_dropout_rate", 0.0),
    takes("activation_dropout", "feed_forward_dropout_rate", 0.0),
    takes("scale_embedding", "embedding_scaling", False, {False: "none", True: "inputs"}),
    takes("max_position_embeddings", "max_positions", 1024),
    fixed(attention_bias=True, norm_epsilon=1e-5, logits_bias=True),
    must("is_decoder", False),
    must("is_encoder_decoder", True),
    # Rates of layers that training leaves out, and what encoder_layers says too.
    ignored("encoder_layerdrop", "decoder_layerdrop", "num_hidden_layers"),
    # Options of the code that trained the first models; all published models have these values.
    must("add_bias_logits", False),
    # Rows of tables that are not read, and what was moved to the search.
    ignored("extra_pos_embeddings", "classif_dropout", "force_bos_token_to_be_generated"),
)


def seq2seq_rules(config: Any) -> list[Rule]:
    """Returns the rules of an encoder-decoder, without those of positions."""
    rules = [
        Rule("embedding/table", "model.shared.weight"),
        *expand(_side("encoder"), config.num_encoder_layers),
        *expand(_side("decoder"), config.num_decoder_layers),
    ]
    for side in ("encoder", "decoder"):
        if config.norm_placement == "pre":
            rules += norm(f"{side}_norm", f"model.{side}.layer_norm")
        if config.embedding_norm:
            ours = "source" if side == "encoder" else "target"
            rules += norm(f"{ours}_embedding_norm", f"model.{side}.layernorm_embedding")
    if config.logits_bias:
        rules.append(Rule("embedding/bias", "final_logits_bias", "1 vocab -> vocab"))
    own = [] if config.tied_logits else [Rule("embedding/logits_table", "lm_head.weight")]
    return [*rules, *own]


def _side(side: str) -> list[Rule]:
    ours, layer = f"{side}_{{i}}", f"model.{side}.layers.{{i}}"
    to_self = "attention" if side == "encoder" else "self_attention"

    def attends(name: str, theirs: str) -> list[Rule]:
        heads = [f"{layer}.{theirs}.{part}_proj" for part in ("q", "k", "v", "out")]
        return [
            *attention(f"{ours}/{name}", heads),
            *norm(f"{ours}/{name}_residual/normalize", f"{layer}.{theirs}_layer_norm"),
        ]

    return [
        *attends(to_self, "self_attn"),
        *(attends("cross_attention", "encoder_attn") if side == "decoder" else []),
        *affine(f"{ours}/feed_forward/hidden", f"{layer}.fc1"),
        *affine(f"{ours}/feed_forward/output", f"{layer}.fc2"),
        *norm(f"{ours}/feed_forward_residual/normalize", f"{layer}.final_layer_norm"),
    ]


# Tensors of positions.
POSITION_TABLES = ("model.encoder.embed_positions.weight", "model.decoder.embed_positions.weight")


def seq2seq_family(
    fields: tuple[Field, ...], rules: Any, name: str, computed_positions: str | None = None
) -> Family:
    """Makes a family with the names of BART's tensors.

    Args:
        fields: the table of the config.
        rules: our config -> the rules of tensors.
        name: of the class of `transformers`.
        computed_positions: the scheme that their code computes; None if positions are learned.
    """
    fixed = {}
    if computed_positions is not None:
        fixed = {"fixed_tables": POSITION_TABLES, "computed_positions": computed_positions}
    return Family(
        EncoderDecoderConfig,
        fields,
        rules,
        {"": name},
        prefix="model.",
        own_logits="lm_head.weight",
        copies={r"model\.(encoder|decoder)\.embed_tokens\.weight": "model.shared.weight"},
        **fixed,
    )


# Their tables have two rows more than positions.
POSITIONS = Field(
    ("max_position_embeddings",),
    lambda config: {"max_positions": config.get("max_position_embeddings", 1024) + 2},
    lambda config: {"max_position_embeddings": config.max_positions - 2},
)
EMBEDDED_FIELDS = (
    *SEQ2SEQ_FIELDS,
    POSITIONS,
    fixed(positions="learned", position_offset=2, embedding_norm=True),
    must("normalize_embedding", True),
    must("static_position_embeddings", False),
)
FIELDS = (
    *EMBEDDED_FIELDS,
    fixed(norm_placement="post"),
    must("normalize_before", False),
    must("add_final_layer_norm", False),
)


def rules(config: Any) -> list[Rule]:
    """Returns the rules of BART and mBART."""
    return [
        *seq2seq_rules(config),
        Rule("source_positions/table", POSITION_TABLES[0]),
        Rule("target_positions/table", POSITION_TABLES[1]),
    ]


BART = seq2seq_family(FIELDS, rules, "BartForConditionalGeneration")
