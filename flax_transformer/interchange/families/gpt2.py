"""GPT-2."""

from typing import Any

from flax_transformer.interchange.config_fields import Field, ignored, must, takes
from flax_transformer.interchange.families.activation_names import ACTIVATION_NAMES
from flax_transformer.interchange.family import Family
from flax_transformer.interchange.rules import Rule, expand, norm
from flax_transformer.models.decoder_only import DecoderOnlyConfig

# Width of the hidden layers if n_inner is not given.
INNER = Field(
    ("n_inner",),
    lambda config: {"d_ff": config.get("n_inner") or 4 * (config.get("n_embd") or 0)},
    lambda config: {"n_inner": config.d_ff},
)

FIELDS = (
    takes("n_embd", "d_model"),
    INNER,
    takes("n_layer", "num_layers"),
    takes("n_head", "num_heads"),
    takes("n_positions", "max_positions", 1024),
    takes("layer_norm_epsilon", "norm_epsilon", 1e-5),
    takes("activation_function", "activation", "gelu_new", ACTIVATION_NAMES),
    takes("resid_pdrop", "residual_dropout_rate", 0.1),
    takes("attn_pdrop", "attention_dropout_rate", 0.1),
    must("scale_attn_weights", True),
    must("scale_attn_by_inverse_layer_idx", False),
    must("reorder_and_upcast_attn", False),
    must("add_cross_attention", False),
    ignored("embd_pdrop", "n_ctx"),
    ignored("summary_activation", "summary_first_dropout", "summary_proj_to_labels"),
    ignored("summary_type", "summary_use_proj"),
)


def rules(config: Any) -> list[Rule]:
    """Returns the rules of GPT-2; its kernels are [inputs, outputs] as ours are."""
    block, ours = "transformer.h.{i}", "decoder_{i}"
    parts = [f"{ours}/self_attention/{name}" for name in ("query", "key", "value")]
    packed, output = f"{block}.attn.c_attn", f"{block}.attn.c_proj"
    layer = [
        *norm(f"{ours}/self_attention_residual/normalize", f"{block}.ln_1"),
        *norm(f"{ours}/feed_forward_residual/normalize", f"{block}.ln_2"),
        Rule(
            tuple(f"{part}/kernel" for part in parts),
            f"{packed}.weight",
            "i (three heads d) -> three i heads d",
        ),
        Rule(
            tuple(f"{part}/bias" for part in parts),
            f"{packed}.bias",
            "(three heads d) -> three heads d",
        ),
        Rule(
            f"{ours}/self_attention/output/kernel",
            f"{output}.weight",
            "(heads d) o -> heads d o",
        ),
        Rule(f"{ours}/self_attention/output/bias", f"{output}.bias"),
    ]
    for name, theirs in (("hidden", "c_fc"), ("output", "c_proj")):
        kernel, bias = f"{ours}/feed_forward/{name}/kernel", f"{ours}/feed_forward/{name}/bias"
        layer.append(Rule(kernel, f"{block}.mlp.{theirs}.weight"))
        layer.append(Rule(bias, f"{block}.mlp.{theirs}.bias"))
    logits = [] if config.tied_logits else [Rule("embedding/logits_table", "lm_head.weight")]
    return [
        Rule("embedding/table", "transformer.wte.weight"),
        Rule("positions/table", "transformer.wpe.weight"),
        *expand(layer, config.num_layers),
        *norm("decoder_norm", "transformer.ln_f"),
        *logits,
    ]


GPT2 = Family(
    DecoderOnlyConfig,
    FIELDS,
    rules,
    {"": "GPT2LMHeadModel"},
    prefix="transformer.",
    own_logits="lm_head.weight",
    # Causal masks.
    unused=(r"(.*\.)?h\.\d+\.attn\.(masked_)?bias",),
)
