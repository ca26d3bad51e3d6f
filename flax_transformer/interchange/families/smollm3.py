"""SmolLM3: Llama with layers that know no positions."""

from collections.abc import Mapping
from typing import Any

from flax_transformer.errors import UserError
from flax_transformer.interchange.config_fields import Field
from flax_transformer.interchange.families.layer_kinds import shortest_period
from flax_transformer.interchange.families.llama import (
    BIASES,
    DECODER_FIELDS,
    PRE_NORM,
    decoder_family,
)
from flax_transformer.interchange.families.qwen2 import NO_WINDOW
from flax_transformer.interchange.families.rotary_fields import rotary_fields

INTERVAL = 4  # of layers without positions, in a config without one
SCHEMES = ("none", "rotary")  # by their numbers


def _read_positions(config: Mapping[str, Any]) -> dict[str, Any]:
    number, rotated = config["num_hidden_layers"], config.get("no_rope_layers")
    if rotated is None:
        interval = config.get("no_rope_layer_interval", INTERVAL)
        rotated = [int((i + 1) % interval != 0) for i in range(number)]
    if len(rotated) < number:
        raise UserError(f"no_rope_layers has {len(rotated)} layers, num_hidden_layers {number}")
    return {"positions": shortest_period([SCHEMES[bool(x)] for x in rotated[:number]])}


def _write_positions(config: Any) -> dict[str, Any]:
    schemes = [config.of_layer(i).positions for i in range(config.num_layers)]
    if others := sorted(set(schemes) - set(SCHEMES)):
        raise UserError(f"--model.positions {', '.join(others)} (only {', '.join(SCHEMES)})")
    return {"no_rope_layers": [SCHEMES.index(scheme) for scheme in schemes]}


# The first key says which layers have rotary positions, in spite of its name.
POSITIONS = Field(("no_rope_layers", "no_rope_layer_interval"), _read_positions, _write_positions)
FIELDS = (*DECODER_FIELDS, POSITIONS, rotary_fields(2e6), PRE_NORM, *BIASES, *NO_WINDOW)
SMOLLM3 = decoder_family(FIELDS, "SmolLM3ForCausalLM")
