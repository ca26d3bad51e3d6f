"""Export: one of our models as a folder that other systems load."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict

from flax_transformer.errors import UserError, unknown, unknown_part
from flax_transformer.interchange.config_fields import write_fields
from flax_transformer.interchange.families import FAMILIES
from flax_transformer.interchange.family import Family
from flax_transformer.interchange.model_parameters import shapes_of
from flax_transformer.interchange.published_folders import CONFIG, TYPES, axes_of
from flax_transformer.interchange.rules import Rule, their_shapes, write
from flax_transformer.interchange.safetensors_output import Kind, write_files
from flax_transformer.models.encoder_decoder import EncoderDecoderConfig
from flax_transformer.models.stacking import unstack_layers
from flax_transformer.whole_files import written_whole

LARGEST_FILE = 5_000_000_000


class Fitting(NamedTuple):
    """A family that can hold a model.

    Attributes:
        name: of the family.
        settings: its config for the model.
        rules: of the tensors.
        ours: our parameters by their paths, with zeros for biases that only the family has.
    """

    name: str
    settings: dict[str, Any]
    rules: list[Rule]
    ours: dict[str, Any]


def export_folder(
    config: Any,
    variables: Mapping[str, Any],
    folder: str | Path,
    *,
    family: str | None = None,
    dtype: str | None = None,
    others: Mapping[str, Any] | None = None,
) -> str:
    """Writes a model as a folder that `transformers` loads.

    Args:
        config: ours.
        variables: of the module.
        folder: a new or an empty folder.
        family: a name in `FAMILIES`; None: the first one that can hold the model.
        dtype: type of the tensors, float32, float16 or bfloat16; None keeps each parameter's.
        others: further keys of config.json, such as the ids of special tokens.

    Returns:
        The name of the family.

    Raises:
        UserError: names what no family can hold. Nothing is written then.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not an empty folder: give another one")
    if dtype is not None and dtype not in TYPES:
        raise unknown("--dtype", dtype, TYPES)
    if further := sorted(variables.keys() - {"params"}):
        raise UserError(f"variables of {', '.join(further)} have no place in another system")
    if config.scan_layers:
        variables = unstack_layers(variables)
    fitting = find_family(config, flatten_dict(variables["params"], sep="/"), family)
    ours = fitting.ours
    sizes = axes_of(config)
    kinds = _kinds(fitting.rules, ours, sizes, dtype)
    settings = _settings(config, ours, fitting, kinds, others or {})
    folder.mkdir(parents=True, exist_ok=True)
    write_files(folder, kinds, write(fitting.rules, _Arrays(ours), sizes), LARGEST_FILE)
    with written_whole(folder / CONFIG) as unfinished:
        unfinished.write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
    return fitting.name


def _kinds(
    rules: list[Rule], ours: Mapping[str, Any], sizes: Mapping[str, int], dtype: str | None
) -> dict[str, Kind]:
    """Returns the type and the shape of each of their tensors."""
    kinds = {}
    for rule in rules:
        first = rule.our_names()[0]
        kind = np.dtype(ours[first].dtype) if dtype is None else np.dtype(dtype)
        if str(kind) not in TYPES:
            raise UserError(f"parameter {first} has the type {kind}: give a dtype")
        shapes = their_shapes([rule], {name: ours[name].shape for name in rule.our_names()}, sizes)
        kinds |= {name: (kind, shape) for name, shape in shapes.items()}
    return kinds


class _Arrays(dict[str, Any]):
    """Our parameters, each as a NumPy array when it is looked up."""

    def __getitem__(self, name: str) -> np.ndarray:
        return np.asarray(super().__getitem__(name))


def find_family(config: Any, ours: Mapping[str, Any], name: str | None = None) -> Fitting:
    """Finds the family that holds a model.

    Args:
        config: ours.
        ours: our parameters by their paths, without scan_layers.
        name: a name in `FAMILIES`; None: the first one that can hold the model.

    Raises:
        UserError: gives for each family the reason why it cannot.
    """
    if name is not None and name not in FAMILIES:
        raise unknown_part("--family", name, FAMILIES)
    candidates = FAMILIES if name is None else {name: FAMILIES[name]}
    kind = type(config).__name__
    same = {name: family for name, family in candidates.items() if family.config is type(config)}
    if not same:
        raise UserError(f"no family of {', '.join(candidates)} has a {kind}")
    reasons = []
    for candidate, family in same.items():
        try:
            return fit(candidate, family, config, ours)
        except UserError as error:
            reasons.append(f"{candidate}: {error}")
    raise UserError(f"no family can hold this {kind}: {'; '.join(reasons)}")


def fit(name: str, family: Family, config: Any, ours: Mapping[str, Any]) -> Fitting:
    """Finds a place in a family for every option and every parameter of a model.

    Args:
        name: of the family.
        family: the family.
        config: ours.
        ours: our parameters by their paths.

    Raises:
        UserError: lists what has no place.
    """
    settings, complete = write_fields(family.fields, config)
    rules = family.rules(complete)
    parts = {rule.part for rule in rules if set(rule.our_names()) & ours.keys()}
    rules = [rule for rule in rules if rule.part in parts or not rule.part]
    shapes = shapes_of(_looped(complete), *_sizes(ours), parts)
    if complete != config:
        added = shapes.keys() - shapes_of(_looped(config), *_sizes(ours), parts).keys()
        dtype = next(iter(ours.values())).dtype
        ours = {**ours, **{path: np.zeros(shapes[path], dtype) for path in added}}
    placed = {path for rule in rules for path in rule.our_names()}
    problems = []
    if homeless := sorted(ours.keys() - placed):
        problems.append(f"parameters without a place: {', '.join(homeless)}")
    if missing := sorted(placed - ours.keys()):
        problems.append(f"missing parameters: {', '.join(missing)}")
    if problems:
        raise UserError("; ".join(problems))
    for path, shape in shapes.items():
        if ours[path].shape != shape:
            problems.append(f"{path} has the shape {ours[path].shape} instead of {shape}")
    if problems:
        raise UserError("; ".join(problems))
    return Fitting(name, settings, rules, dict(ours))


def _looped(config: Any) -> Any:
    return dataclasses.replace(config, scan_layers=False)


def _sizes(ours: Mapping[str, Any]) -> tuple[int, int]:
    """Returns the numbers of tokens and of classes of a model, or what stands for none."""
    sizes = []
    for path, without in (("embedding/table", 0), ("classifier/bias", 2)):
        sizes.append(ours[path].shape[0] if path in ours else without)
    return sizes[0], sizes[1]


def _settings(
    config: Any,
    ours: Mapping[str, Any],
    fitting: Fitting,
    kinds: Mapping[str, Any],
    others: Mapping[str, Any],
) -> dict[str, Any]:
    """Returns the contents of config.json."""
    family = FAMILIES[fitting.name]
    parts = {rule.part for rule in fitting.rules}
    architecture = next(name for part, name in family.architectures.items() if part in {*parts, ""})
    vocab_size, num_classes = _sizes(ours)
    settings: dict[str, Any] = {"architectures": [architecture], "model_type": fitting.name}
    settings["dtype"] = str(next(iter(kinds.values()))[0])
    if vocab_size:
        settings["vocab_size"] = vocab_size
        settings["tie_word_embeddings"] = config.tied_logits
    if "classifier/bias" in ours:
        labels = [f"LABEL_{i}" for i in range(num_classes)]
        settings["id2label"] = {str(i): label for i, label in enumerate(labels)}
        settings["label2id"] = {label: i for i, label in enumerate(labels)}
    if type(config) is EncoderDecoderConfig:
        settings["is_encoder_decoder"] = True
    return settings | dict(others) | fitting.settings
