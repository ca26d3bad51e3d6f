"""Export: one of our models as a folder that other systems load."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict

from flax_transformer.errors import UserError, unknown
from flax_transformer.interchange.families import FAMILIES
from flax_transformer.interchange.fitting import Fitting, find_family, sizes_of
from flax_transformer.interchange.published_folders import CONFIG, TYPES, axes_of
from flax_transformer.interchange.rules import Rule, their_shapes, write
from flax_transformer.interchange.safetensors_output import Kind, write_files
from flax_transformer.models.encoder_decoder import EncoderDecoderConfig
from flax_transformer.models.stacking import unstack_layers
from flax_transformer.whole_files import written_whole, written_whole_folder

LARGEST_FILE = 5_000_000_000


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
    with written_whole_folder(Path(folder)) as unfinished:
        return write_model(unfinished, config, variables, family=family, dtype=dtype, others=others)


def write_model(
    folder: Path,
    config: Any,
    variables: Mapping[str, Any],
    *,
    family: str | None,
    dtype: str | None,
    others: Mapping[str, Any] | None,
) -> str:
    """Writes config.json and the tensors into an existing folder; see `export_folder`."""
    if dtype is not None and dtype not in TYPES:
        raise unknown("--dtype", dtype, TYPES)
    if config.scan_layers:
        variables = unstack_layers(variables)
    fitting = find_family(config, flatten_dict(variables["params"], sep="/"), family)
    if further := sorted(variables.keys() - {"params"}):
        raise UserError(f"variables of {', '.join(further)} have no place in another system")
    ours = fitting.ours
    sizes = axes_of(config)
    kinds = _kinds(fitting.rules, ours, sizes, dtype)
    settings = _settings(config, ours, fitting, kinds, others or {})
    write_files(folder, kinds, write(fitting.rules, _Arrays(ours), sizes), LARGEST_FILE)
    write_json(folder / CONFIG, settings)
    return fitting.name


def write_json(path: Path, settings: Mapping[str, Any]) -> None:
    """Writes an object as a JSON file, atomically."""
    with written_whole(path) as unfinished:
        text = json.dumps(settings, indent=2, ensure_ascii=False)
        unfinished.write_text(text + "\n", "utf-8")


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
    vocab_size, num_classes = sizes_of(ours)
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
