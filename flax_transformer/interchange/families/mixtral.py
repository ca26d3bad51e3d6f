"""Mixtral: Mistral with a mixture of experts."""

from typing import Any

from flax_transformer.interchange.config_fields import fixed, ignored, must, takes
from flax_transformer.interchange.families.llama import (
    DECODER_FIELDS,
    NO_BIAS,
    PRE_NORM,
    decoder_family,
    decoder_rules,
)
from flax_transformer.interchange.families.mistral import WINDOW
from flax_transformer.interchange.families.rotary_fields import rotary_fields
from flax_transformer.interchange.rules import Rule

FIELDS = (
    *DECODER_FIELDS,
    rotary_fields(1e6),
    PRE_NORM,
    NO_BIAS,
    WINDOW,
    fixed(feed_forward="experts"),
    takes("num_local_experts", "num_experts", 8),
    takes("num_experts_per_tok", "experts_per_token", 2),
    takes("router_aux_loss_coef", "balancing_weight", 0.001),
    must("router_jitter_noise", 0.0),
    ignored("output_router_logits"),
)


def rules(config: Any) -> list[Rule]:
    """Returns the rules of Mixtral, whose experts are separate tensors."""
    block, ours = "model.layers.{i}.block_sparse_moe", "decoder_{i}/feed_forward"

    def experts(*names: str) -> tuple[str, ...]:
        numbers = range(config.num_experts)
        return tuple(f"{block}.experts.{e}.{name}.weight" for e in numbers for name in names)

    feed_forward = [
        Rule(f"{ours}/router/kernel", f"{block}.gate.weight", "experts i -> i experts"),
        Rule(
            f"{ours}/hidden/kernel",
            experts("w1", "w3"),
            "(experts halves) f i -> experts i halves f",
        ),
        Rule(f"{ours}/output/kernel", experts("w2"), "experts o i -> experts i o"),
    ]
    return decoder_rules(config, feed_forward)


MIXTRAL = decoder_family(FIELDS, "MixtralForCausalLM", rules)
