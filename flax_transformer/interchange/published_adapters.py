"""Import of adapters: a folder of the package PEFT, merged into a model's parameters."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from flax_transformer.errors import UserError
from flax_transformer.interchange.exported_adapters import CONFIG, PREFIX, WEIGHTS
from flax_transformer.interchange.exported_folders import find_family
from flax_transformer.interchange.published_folders import LARGEST_CONFIG, axes_of
from flax_transformer.interchange.rules import Rule, their_shapes, to_ours
from flax_transformer.interchange.safetensors_files import Tensors, is_finite, read_json
from flax_transformer.models.stacking import stack_layers, unstack_layers

# Groups that are repeated: such an expression may try exponentially many ways.
REPEATED_GROUP = re.compile(r"\)[*+{]")
# What a config may say only in this way.
ONLY = (("peft_type", "LORA"), ("use_dora", False), ("bias", "none"), ("lora_bias", False))


def merge_adapter(
    config: Any, variables: Mapping[str, Any], folder: str | Path, *, family: str | None = None
) -> dict[str, Any]:
    """Adds an adapter of the package PEFT to the parameters of a model.

    W + (alpha / rank) B A, as PEFT writes the product

    Args:
        config: ours.
        variables: of the module, such as those of `parameters`.
        folder: holds adapter_config.json and adapter_model.safetensors.
        family: see `export_folder`.

    Returns:
        The variables with the adapter merged.

    Raises:
        UserError: says in one line what the folder has that is not known here.
    """
    folder = Path(folder)
    settings = read_json(folder / CONFIG, LARGEST_CONFIG)
    for name, value in ONLY:
        if (found := settings.get(name, value)) != value:
            raise UserError(f"{folder / CONFIG}: {name} is {found!r}, only {value!r} is read")
    _check_numbers(settings, folder / CONFIG)
    if not (folder / WEIGHTS).is_file():
        raise UserError(f"{folder} lacks {WEIGHTS}: save the adapter as safetensors")
    tensors = {name.removeprefix(PREFIX): x for name, x in Tensors(folder, WEIGHTS).items()}
    if bad := sorted(name for name, x in tensors.items() if not is_finite(x)):
        raise UserError(
            f"{folder / WEIGHTS}: tensor {bad[0]} has numbers that are not finite: get it again"
        )
    single = unstack_layers(variables) if config.scan_layers else variables
    fitting = find_family(config, flatten_dict(single["params"], sep="/"), family)
    ours, sizes = fitting.ours, axes_of(config)
    given = flatten_dict(single["params"], sep="/").keys()
    for rule in fitting.rules:
        ours |= _changed(rule, ours, sizes, settings, tensors)
    if tensors:
        raise UserError(
            f"{folder}: tensors without a use: {', '.join(sorted(tensors))}; give the "
            "adapter's own model, with these parts"
        )
    params = unflatten_dict({path: ours[path] for path in given}, sep="/")
    merged = {**single, "params": params}
    return stack_layers(merged, config.period()) if config.scan_layers else merged


def _check_numbers(settings: Mapping[str, Any], where: Path) -> None:
    """Rejects ranks and factors that are not numbers, and patterns that may take forever."""

    def check(name: str, value: Any, is_rank: bool) -> None:
        kinds = int if is_rank else (int, float)
        is_number = isinstance(value, kinds) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or (is_rank and value < 1):
            kind = "a positive whole number" if is_rank else "a number"
            raise UserError(f"{where}: {name} is {value!r:.40}, not {kind}: get the file again")

    for name, field, is_rank in (
        ("r", "rank_pattern", True),
        ("lora_alpha", "alpha_pattern", False),
    ):
        check(name, settings.get(name), is_rank)
        patterns = settings.get(field) or {}
        if not isinstance(patterns, dict):
            raise UserError(f"{where}: {field} is {patterns!r:.40}, not an object")
        for pattern, value in patterns.items():
            check(f"{field} of {pattern:.60}", value, is_rank)
            if REPEATED_GROUP.search(pattern) or not _is_expression(pattern):
                raise UserError(
                    f"{where}: {field} has {pattern!r:.60}, which is not read: give names of "
                    "modules, or regular expressions without repeated groups"
                )


def _is_expression(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except (re.error, RecursionError):
        return False
    return True


def _changed(
    rule: Rule,
    ours: Mapping[str, Any],
    sizes: Mapping[str, int],
    settings: Mapping[str, Any],
    tensors: dict[str, np.ndarray],
) -> dict[str, Any]:
    """Returns the new parameters of a rule, and removes their tensors from the given ones."""
    names, paths = rule.their_names(), rule.our_names()
    shapes = their_shapes([rule], {path: ours[path].shape for path in paths}, sizes)
    if whole := [tensors.pop(name) for name in names if name in tensors]:
        if len(whole) < len(names):
            raise UserError(
                f"only some tensors of {', '.join(names)} are in the adapter: get its file again"
            )
        for name, tensor in zip(names, whole, strict=True):
            if tensor.shape != shapes[name]:
                raise UserError(
                    f"{name} of the adapter has the shape {tensor.shape}, that of the model "
                    f"{shapes[name]}: give the model that the adapter belongs to"
                )
        return dict(zip(paths, to_ours(rule, whole, sizes), strict=True))
    changes = [_change(name, shapes[name], settings, tensors) for name in names]
    if all(change is None for change in changes):
        return {}
    filled = [
        np.zeros(shapes[name], np.float32) if change is None else change
        for name, change in zip(names, changes, strict=True)
    ]
    added = zip(paths, to_ours(rule, filled, sizes), strict=True)
    return {path: (ours[path] + change).astype(ours[path].dtype) for path, change in added}


def _change(
    name: str,
    shape: tuple[int, ...],
    settings: Mapping[str, Any],
    tensors: dict[str, np.ndarray],
) -> np.ndarray | None:
    """Returns what an adapter adds to a tensor; None without one."""
    module = name.removesuffix(".weight")
    down = tensors.pop(f"{module}.lora_A.weight", None)
    up = tensors.pop(f"{module}.lora_B.weight", None)
    if down is None or up is None:
        if down is not up:
            raise UserError(f"{module} has only one of lora_A and lora_B: get the adapter again")
        return None
    rank = _of_module(module, "rank_pattern", settings, settings["r"])
    alpha = _of_module(module, "alpha_pattern", settings, settings["lora_alpha"])
    outputs_inputs = shape[::-1] if settings.get("fan_in_fan_out") else shape
    if (
        {len(shape), up.ndim, down.ndim} != {2}
        or (up.shape[0], down.shape[-1]) != outputs_inputs
        or len(down) != rank
    ):
        raise UserError(
            f"{module}: lora_A {down.shape} and lora_B {up.shape} do not fit rank {rank} and "
            f"{shape}: give the adapter's own model and config"
        )
    scale = alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank)
    product = scale * (up.astype(np.float32) @ down.astype(np.float32))
    return product.T if settings.get("fan_in_fan_out") else product


def _of_module(module: str, field: str, settings: Mapping[str, Any], default: Any) -> Any:
    """Returns the rank or alpha of a module, which a pattern of its name may change."""
    for pattern, value in (settings.get(field) or {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", module):
            return value
    return default
