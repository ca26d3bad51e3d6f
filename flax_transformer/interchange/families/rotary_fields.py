"""The keys of rotary positions in published configs, older and newer."""

import math
from collections.abc import Mapping
from typing import Any

from flax_transformer.errors import UserError
from flax_transformer.interchange.config_fields import Field, is_empty

# Keys of (low, high) turns, with their defaults; None: they must be there.
TURNS = {
    "llama3": {"low_freq_factor": None, "high_freq_factor": None},
    "yarn": {"beta_slow": 1.0, "beta_fast": 32.0},
}
FIRST_LENGTH = "original_max_position_embeddings"


def rotary_fields(default_base: float = 10_000.0) -> Field:
    """Makes the field of the base of rotary positions and of their scaling.

    Older configs have rope_theta and rope_scaling, newer ones rope_parameters with both.

    Args:
        default_base: theirs, if the config has none.
    """

    def read(config: Mapping[str, Any]) -> dict[str, Any]:
        given = {
            "rope_theta": config.get("rope_theta", default_base),
            **(config.get("rope_scaling") or {}),
            **(config.get("rope_parameters") or {}),
        }
        options = {"rotary_base": float(given.pop("rope_theta"))}
        kind, other = given.pop("rope_type", None), given.pop("type", None)
        kind = kind or other or "default"
        if given.pop("partial_rotary_factor", 1) != 1:
            raise UserError("partial_rotary_factor is not 1, but all features must be rotated")
        if kind not in ("default", "linear", *TURNS):
            raise UserError(
                f"rope_type is {kind}, but only default, linear, llama3, yarn are known"
            )
        if kind == "default":
            given = {}
        else:
            options |= _scaling(kind, given, config)
        if unknown := sorted(key for key, value in given.items() if not is_empty(value)):
            raise UserError(f"{', '.join(unknown)} of rope_type {kind} is unknown")
        return options

    return Field(("rope_theta", "rope_scaling", "rope_parameters"), read, _write)


def _scaling(kind: str, given: dict[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Takes the keys of a scaling out of the given ones, and returns our options."""
    needed = ["factor"] + ([FIRST_LENGTH] if kind in TURNS else [])
    needed += [key for key, default in TURNS.get(kind, {}).items() if default is None]
    if missing := [key for key in needed if given.get(key) is None]:
        raise UserError(f"{', '.join(missing)} of rope_type {kind} is missing")
    factor = float(given.pop("factor"))
    options = {"rotary_scaling": kind, "rotary_factor": factor}
    if kind == "linear":
        return options
    turns = [given.pop(key, None) or default for key, default in TURNS[kind].items()]
    options["rotary_first_length"] = given.pop(FIRST_LENGTH)
    options["rotary_turns"] = tuple(map(float, turns))
    if kind == "yarn":
        if given.pop("truncate", True) is not True:
            raise UserError("truncate of rope_type yarn is False, but only True is known")
        # A factor of queries and keys is one of the scores.
        stretch = given.pop("attention_factor", None) or _stretch(factor)
        head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        options["attention_scale"] = stretch**2 / math.sqrt(head_dim)
    return options


def _stretch(factor: float) -> float:
    return 0.1 * math.log(factor) + 1 if factor > 1 else 1.0


def _write(config: Any) -> dict[str, Any]:
    kind = config.rotary_scaling
    if isinstance(config.rotary_base, tuple):
        raise UserError(f"--model.rotary-base {config.rotary_base} (only one of all layers)")
    theirs = {"rope_theta": config.rotary_base, "rope_type": "default" if kind == "none" else kind}
    if kind != "none":
        theirs["factor"] = config.rotary_factor
    if kind in TURNS:
        theirs[FIRST_LENGTH] = config.rotary_first_length
        theirs |= dict(zip(TURNS[kind], config.rotary_turns, strict=True))
    if kind == "yarn":
        scale = config.attention_scale or 1 / math.sqrt(config.head_dims()[0])
        stretch = math.sqrt(scale * math.sqrt(config.head_dims()[0]))
        if not math.isclose(stretch, _stretch(config.rotary_factor), rel_tol=1e-12):
            theirs["attention_factor"] = stretch
    return {"rope_parameters": theirs}
